// Verifies a signed offer and receipt with the official package: JSON in, their signers out.
import {
  decodeSignedOffers,
  extractOffersFromPaymentRequired,
  extractReceiptFromResponse,
  verifyOfferSignatureEIP712,
  verifyReceiptMatchesOffer,
  verifyReceiptSignatureEIP712,
} from "@x402/extensions/offer-receipt";

let text = "";
for await (const part of process.stdin) text += part;
const { paymentRequired, response, payer } = JSON.parse(text);

const [offer] = extractOffersFromPaymentRequired(paymentRequired);
const answer = new Response("", { headers: { "PAYMENT-RESPONSE": response } });
const receipt = extractReceiptFromResponse(answer);
const [decoded] = decodeSignedOffers([offer]);
console.log(
  JSON.stringify({
    offer: (await verifyOfferSignatureEIP712(offer)).signer,
    receipt: (await verifyReceiptSignatureEIP712(receipt)).signer,
    matches: verifyReceiptMatchesOffer(receipt, decoded, [payer]),
  }),
);
