// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// A contract wallet that cheats (ERC-1271): it says yes to whoever simulates, and uses up all gas
/// in a block. Put its code at an address and call `arm`.
contract BurningWallet {
    uint256 public kind; // 1: knows a simulation by its price of gas; 2: by the block's number
    uint256 public until;

    function arm(uint256 kind_, uint256 until_) external {
        kind = kind_;
        until = until_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        bool simulated = kind == 1 ? tx.gasprice == 0 : block.number <= until;
        if (!simulated) {
            uint256 n;
            while (true) {
                n = uint256(keccak256(abi.encode(n)));
            }
        }
        return bytes4(0x1626ba7e);
    }
}
