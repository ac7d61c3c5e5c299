// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// A contract wallet for tests that is made by a factory when it first pays (ERC-6492).
contract TestFactoryWallet {
    address public owner;

    constructor(address owner_) {
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

contract TestFactory {
    function deploy(address owner) external returns (address) {
        return address(new TestFactoryWallet{salt: 0}(owner));
    }

    function where(address owner) external view returns (address) {
        bytes memory code = abi.encodePacked(type(TestFactoryWallet).creationCode, abi.encode(owner));
        bytes32 digest =
            keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), keccak256(code)));
        return address(uint160(uint256(digest)));
    }
}
