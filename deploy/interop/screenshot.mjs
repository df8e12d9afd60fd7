// Opens a page in headless Chromium, waits until it is quiet, takes a PNG of all of it, and runs axe-core (WCAG 2.2 AA) over it.
// usage: node screenshot.mjs URL [FILE.png] [--width N] [--height N] [--language TAG] [--follow SELECTOR]
// Prints one line of JSON: title, URL, violations, requests that left the page's own host, errors on the console.
// Exit code 0 where there is nothing to complain of, 1 where there is, 2 for a wrong command line.
import process from "node:process";
import { parseArgs } from "node:util";
import { examine, launch, watch } from "./chromium.mjs";

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

const browser = await launch();
try {
  const context = await browser.newContext({
    viewport: { width: Number(options.width), height: Number(options.height) },
    locale: options.language,
    timezoneId: "Asia/Tokyo",
  });
  const page = await context.newPage();
  const seen = watch(page, url);

  const answer = await page.goto(url, { waitUntil: "networkidle", timeout: 30_000 });
  if (answer && !answer.ok()) throw new Error(`${url} answered ${answer.status()}`);
  if (options.follow) {
    await Promise.all([page.waitForURL((to) => to.href !== url), page.click(options.follow)]);
    await page.waitForLoadState("networkidle");
  }
  if (file) await page.screenshot({ path: file, fullPage: true });

  const result = { ...(await examine(page)), foreign: [...seen.foreign], complaints: seen.complaints };
  console.log(JSON.stringify(result));
  if (result.violations.length || result.foreign.length || result.complaints.length) process.exitCode = 1;
} finally {
  await browser.close();
}
