// Opens a page in headless Chromium, waits until it is quiet, takes a PNG of all of it, and runs axe-core (WCAG 2.2 AA) over it.
// usage: node screenshot.mjs URL [FILE.png] [--width N] [--height N] [--language TAG] [--follow SELECTOR]
// Prints one line of JSON: title, URL, violations, requests that left the page's own host, errors on the console.
// Exit code 0 where there is nothing to complain of, 1 where there is, 2 for a wrong command line.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    width: { type: "string", default: "1280" },
    height: { type: "string", default: "800" },
    language: { type: "string", default: "ja-JP" },
    follow: { type: "string" },
  },
});
const [url, file] = positionals;
if (!url) {
  console.error("usage: node screenshot.mjs URL [FILE.png] [--width N] [--height N] [--language TAG] [--follow SELECTOR]");
  process.exit(2);
}
const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) {
  console.error("screenshot: Chromium is not installed; set CHROMIUM to its path");
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
try {
  const context = await browser.newContext({
    viewport: { width: Number(options.width), height: Number(options.height) },
    locale: options.language,
    timezoneId: "Asia/Tokyo",
  });
  const page = await context.newPage();
  const foreign = new Set();
  const complaints = [];
  const host = new URL(url).host;
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.protocol.startsWith("http") && target.host !== host) foreign.add(target.origin);
  });
  page.on("console", (message) => {
    // Chromium asks for an icon by itself; a page without one is no fault.
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));

  const answer = await page.goto(url, { waitUntil: "networkidle", timeout: 30_000 });
  if (answer && !answer.ok()) throw new Error(`${url} answered ${answer.status()}`);
  if (options.follow) {
    await Promise.all([page.waitForURL((to) => to.href !== url), page.click(options.follow)]);
    await page.waitForLoadState("networkidle");
  }
  if (file) await page.screenshot({ path: file, fullPage: true });

  // Evaluated by the debugger, so the page's Content-Security-Policy stays in force and its violations are seen above.
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(globalThis.document, {
      runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] },
    }),
  );
  const result = {
    title: await page.title(),
    url: page.url(),
    language: await page.getAttribute("html", "lang"),
    violations: violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => n.target.join(" ")) })),
    foreign: [...foreign],
    complaints,
  };
  console.log(JSON.stringify(result));
  if (violations.length || foreign.size || complaints.length) process.exitCode = 1;
} finally {
  await browser.close();
}
