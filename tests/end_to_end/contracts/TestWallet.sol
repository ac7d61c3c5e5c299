// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// A contract wallet for tests (ERC-1271): it approves what its owner's key signed. Put its code
/// at an address and call `init`.
contract TestWallet {
    address public owner;

    function init(address owner_) external {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        return ecrecover(hash, v, r, s) == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}
