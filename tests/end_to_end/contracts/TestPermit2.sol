// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IERC20 {
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

struct TokenPermissions {
    address token;
    uint256 amount;
}

struct Permit {
    TokenPermissions permitted;
    uint256 nonce;
    uint256 deadline;
}

struct Witness {
    address to;
    uint256 validAfter;
}

/// Stands in for Permit2 on a local chain, as far as x402 uses it: signed transfers with a
/// witness, unordered nonces. The signed bytes are the real one's.
contract TestPermit2 {
    mapping(address => mapping(uint256 => uint256)) public nonceBitmap;

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                address(this)
            )
        );
    }

    function spend(Permit calldata permit, address owner, Witness calldata witness, bytes calldata signature)
        external
    {
        require(block.timestamp <= permit.deadline, "SignatureExpired");
        uint256 bit = 1 << uint8(permit.nonce);
        require(nonceBitmap[owner][permit.nonce >> 8] & bit == 0, "InvalidNonce");
        nonceBitmap[owner][permit.nonce >> 8] |= bit;
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)"
                ),
                keccak256(
                    abi.encode(
                        keccak256("TokenPermissions(address token,uint256 amount)"),
                        permit.permitted.token,
                        permit.permitted.amount
                    )
                ),
                msg.sender,
                permit.nonce,
                permit.deadline,
                keccak256(
                    abi.encode(
                        keccak256("Witness(address to,uint256 validAfter)"),
                        witness.to,
                        witness.validAfter
                    )
                )
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), structHash));
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        require(ecrecover(digest, uint8(signature[64]), r, s) == owner, "InvalidSignature");
        IERC20(permit.permitted.token).transferFrom(owner, witness.to, permit.permitted.amount);
    }
}

/// Stands in for x402ExactPermit2Proxy: the money goes to the witness and nowhere else.
contract TestPermit2Proxy {
    TestPermit2 private constant PERMIT2 = TestPermit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    function settle(
        Permit calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        require(block.timestamp >= witness.validAfter, "PaymentTooEarly");
        PERMIT2.spend(permit, owner, witness, signature);
    }
}
