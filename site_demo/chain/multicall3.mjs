// node multicall3.mjs: the creation code of Multicall3, as viem carries it.
import { multicall3Bytecode } from "./node_modules/viem/_esm/constants/contracts.js";

console.log(multicall3Bytecode);
