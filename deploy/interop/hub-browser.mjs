// The user agent of a relying party whose provider is the demonstration's hub: Chromium with a test card's certificate. It goes where it is sent, logs
// in where it is asked, and tells where it ended.
// HOME_DIR (with the NSS database of a person with a card), HUB (https://login.localhost:PORT).
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { launchWithCard } from "./chromium.mjs";

const { HOME_DIR: home, HUB: hub } = process.env;
const card = hub.replace("//login.", "//card.");

const context = await launchWithCard({ home, profile: mkdtempSync(join(home, "profile-")), origin: card, locale: "ja-JP" });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
export const pages = []; // of ours that a person saw on the way

export async function close() {
  await context.close();
}

// browse opens an address and gives the one at which the way ends outside the hub.
export async function browse(address) {
  await page.goto(address.href, { waitUntil: "load" });
  for (let step = 0; step < 6; step++) {
    const at = new URL(page.url());
    if (at.origin !== hub && at.pathname !== "/card") return at;
    pages.push(at.origin === hub ? at.pathname.split("/")[1] : "card");
    const begin = page.locator('form[action$="/begin"]:has(input[value="card"]) button');
    const certificate = page.locator(`a[href^="${card}/"]`);
    const onward = page.locator("main form button, main a.button").first();
    const next = (await begin.count()) ? begin : (await certificate.count()) ? certificate : onward;
    if (!(await next.count())) break;
    await Promise.all([page.waitForURL((to) => to.href !== at.href), next.click()]);
    // This page leads on by itself.
    if (new URL(page.url()).pathname.endsWith("/begin")) await page.waitForURL((to) => to.origin !== hub);
    await page.waitForLoadState("load");
  }
  throw new Error(`${page.url()}: ${(await page.innerText("body")).replace(/\s+/g, " ").slice(0, 500)}`);
}
