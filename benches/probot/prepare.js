// Writes what a measurement sends and is configured with to a folder: `body.json` (GitHub's own example of
// `issues.labeled`, which a real App gets with the installation's id besides), `signature` and `key.pem`.
import { createHmac, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import examples from "@octokit/webhooks-examples" with { type: "json" };

const [folder, secret] = process.argv.slice(2);
const labelled = examples
  .find((event) => event.name === "issues")
  .examples.find((example) => example.action === "labeled");
const body = JSON.stringify({ ...labelled, installation: { id: 1, node_id: "MDIz" } });
writeFileSync(`${folder}/body.json`, body);
writeFileSync(`${folder}/signature`, "sha256=" + createHmac("sha256", secret).update(body).digest("hex"));
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
writeFileSync(`${folder}/key.pem`, privateKey.export({ type: "pkcs1", format: "pem" }), { mode: 0o600 });
