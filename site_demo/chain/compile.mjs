// node compile.mjs Contract.sol [...]: the deployed bytecode of each contract, as JSON.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import solc from "solc";

const sources = Object.fromEntries(
  process.argv.slice(2).map((file) => [basename(file), { content: readFileSync(file, "utf8") }]),
);
const output = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources,
      settings: {
        evmVersion: "cancun",
        viaIR: true,
        optimizer: { enabled: true, runs: 200 },
        outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
      },
    }),
  ),
);
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length) {
  for (const error of errors) console.error(error.formattedMessage);
  process.exit(1);
}
const compiled = {};
for (const contracts of Object.values(output.contracts))
  for (const [name, contract] of Object.entries(contracts))
    if (contract.evm.deployedBytecode.object) compiled[name] = "0x" + contract.evm.deployedBytecode.object;
console.log(JSON.stringify(compiled));
