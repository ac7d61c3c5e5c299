// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IERC20 {
    function transferFrom(address from, address to, uint256 value) external returns (bool);
    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
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

struct Transfer {
    address to;
    uint256 requestedAmount;
}

/// What a payer signed for EIP-2612, so that Permit2 may move its tokens.
struct TokenPermit {
    uint256 value;
    uint256 deadline;
    bytes32 r;
    bytes32 s;
    uint8 v;
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

    function permitWitnessTransferFrom(
        Permit calldata permit,
        Transfer calldata transfer,
        address owner,
        bytes32 witness,
        string calldata witnessType,
        bytes calldata signature
    ) external {
        require(block.timestamp <= permit.deadline, "SignatureExpired");
        require(transfer.requestedAmount <= permit.permitted.amount, "InvalidAmount");
        uint256 bit = 1 << uint8(permit.nonce);
        require(nonceBitmap[owner][permit.nonce >> 8] & bit == 0, "InvalidNonce");
        nonceBitmap[owner][permit.nonce >> 8] |= bit;
        bytes32 typehash = keccak256(
            abi.encodePacked(
                "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,",
                witnessType
            )
        );
        bytes32 permitted = keccak256(
            abi.encode(
                keccak256("TokenPermissions(address token,uint256 amount)"),
                permit.permitted.token,
                permit.permitted.amount
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(typehash, permitted, msg.sender, permit.nonce, permit.deadline, witness)
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), structHash));
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        require(ecrecover(digest, uint8(signature[64]), r, s) == owner, "InvalidSignature");
        IERC20(permit.permitted.token).transferFrom(owner, transfer.to, transfer.requestedAmount);
    }
}

abstract contract Proxy {
    TestPermit2 internal constant PERMIT2 = TestPermit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    function _allow(TokenPermit calldata allowed, address token, address owner) internal {
        try IERC20(token).permit(
            owner, address(PERMIT2), allowed.value, allowed.deadline, allowed.v, allowed.r, allowed.s
        ) {} catch {} // somebody else may have submitted it: the allowance decides
    }
}

/// Stands in for x402ExactPermit2Proxy: the money goes to the witness and nowhere else.
contract TestPermit2Proxy is Proxy {
    struct Witness {
        address to;
        uint256 validAfter;
    }

    function settle(
        Permit calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) public {
        require(block.timestamp >= witness.validAfter, "PaymentTooEarly");
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Witness(address to,uint256 validAfter)"), witness.to, witness.validAfter
            )
        );
        PERMIT2.permitWitnessTransferFrom(
            permit,
            Transfer(witness.to, permit.permitted.amount),
            owner,
            hash,
            "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)",
            signature
        );
    }

    function settleWithPermit(
        TokenPermit calldata allowed,
        Permit calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _allow(allowed, permit.permitted.token, owner);
        settle(permit, owner, witness, signature);
    }
}

/// Stands in for x402UptoPermit2Proxy: any part of the amount, and only by one facilitator.
contract TestUptoPermit2Proxy is Proxy {
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    function settle(
        Permit calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) public {
        require(amount <= permit.permitted.amount, "AmountExceedsPermitted");
        require(msg.sender == witness.facilitator, "UnauthorizedFacilitator");
        require(block.timestamp >= witness.validAfter, "PaymentTooEarly");
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Witness(address to,address facilitator,uint256 validAfter)"),
                witness.to,
                witness.facilitator,
                witness.validAfter
            )
        );
        PERMIT2.permitWitnessTransferFrom(
            permit,
            Transfer(witness.to, amount),
            owner,
            hash,
            "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)",
            signature
        );
    }

    function settleWithPermit(
        TokenPermit calldata allowed,
        Permit calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _allow(allowed, permit.permitted.token, owner);
        settle(permit, amount, owner, witness, signature);
    }
}
