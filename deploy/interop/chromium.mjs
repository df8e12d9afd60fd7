// What the scripts that drive a browser share: headless Chromium that reaches for nothing by itself, what a page asks of others or complains
// of, and axe-core (WCAG 2.2 AA).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const args = [
  "--no-sandbox",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

// installed is the browser's path. Where there is none, the process ends with code 2.
function installed() {
  const path = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  if (!path) {
    console.error("Chromium is not installed; set CHROMIUM to its path");
    process.exit(2);
  }
  return path;
}

// launch starts the browser.
export async function launch() {
  return chromium.launch({ executablePath: installed(), args });
}

// launchWithCard starts the browser of a person who has imported a card's certificate: home is their home folder, with the NSS database in .pki/nssdb,
// and profile an empty folder. It presents the certificate to origin without asking, as the policy AutoSelectCertificateForUrls makes it: the profile's
// setting of the same name does it without a file of root's. The browser trusts what the database trusts.
export async function launchWithCard({ home, profile, origin, ...options }) {
  mkdirSync(join(profile, "Default"), { recursive: true });
  const exceptions = { auto_select_certificate: { [`${origin},*`]: { setting: { filters: [{}] } } } };
  writeFileSync(join(profile, "Default", "Preferences"), JSON.stringify({ profile: { content_settings: { exceptions } } }));
  return chromium.launchPersistentContext(profile, {
    executablePath: installed(),
    args,
    env: { ...process.env, HOME: home },
    ...options,
  });
}

// holdAnswers keeps the hub's answers on their page, which else posts them at once, so that it can be looked at and its button pressed.
export async function holdAnswers(context) {
  await context.addInitScript(() => {
    HTMLFormElement.prototype.requestSubmit = () => {};
  });
}

// testPIN is that of every test card of the demonstration.
export const testPIN = "1234";

// playCard presents a test card on the demonstration's page that plays cards, where the browser is. That page leads on by itself where the PIN was right.
export async function playCard(page, id, pin = testPIN) {
  const here = new URL(page.url()).origin;
  await page.check(`input[name=card][value="${id}"]`);
  await page.fill("#pin", pin);
  await page.click('form[action="/card"] button');
  await page.waitForLoadState("load");
  if (await page.locator('meta[http-equiv="refresh"]').count().catch(() => 1)) await page.waitForURL((to) => to.origin !== here);
}

// watch notes which other origins a page asks for something, and what the browser says against it.
export function watch(page, url) {
  const seen = { foreign: new Set(), complaints: [] };
  const host = new URL(url).host;
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.protocol.startsWith("http") && target.host !== host) seen.foreign.add(target.origin);
  });
  page.on("console", (message) => {
    // Chromium asks for an icon by itself; a page without one is no fault.
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) seen.complaints.push(message.text());
  });
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  return seen;
}

// examine tells what is to be said of the page that is open. axe-core is evaluated by the debugger, so the page's Content-Security-Policy
// stays in force and its violations are seen by watch.
export async function examine(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(globalThis.document, {
      runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] },
    }),
  );
  return {
    title: await page.title(),
    url: page.url(),
    language: await page.getAttribute("html", "lang"),
    violations: violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => n.target.join(" ")) })),
  };
}
