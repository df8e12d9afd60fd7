// Presents a card by Chromium's own TLS: opens ADDRESS with the certificate of the NSS database below HOME_DIR/.pki, and prints what came back as one
// line of JSON. A handshake that fails is an error there, not of this script.
// usage: node card-present.mjs HOME_DIR ADDRESS...
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { launchWithCard } from "./chromium.mjs";

const [home, ...addresses] = process.argv.slice(2);
const profile = mkdtempSync(join(home, "profile-"));
const context = await launchWithCard({ home, profile, origin: new URL(addresses[0]).origin });
try {
  const seen = [];
  for (const address of addresses) {
    const page = await context.newPage();
    try {
      const answer = await page.goto(address, { timeout: 15_000 });
      seen.push({ status: answer.status(), text: await page.innerText("body") });
    } catch (error) {
      seen.push({ status: 0, text: String(error).split("\n")[0] });
    }
    await page.close();
  }
  console.log(JSON.stringify(seen));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
