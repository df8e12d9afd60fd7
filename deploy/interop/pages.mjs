// Opens pages one after another in one headless Chromium, takes a PNG of each, and runs axe-core (WCAG 2.2 AA) over it.
// usage: node pages.mjs FOLDER URL...
// Prints one line of JSON for each page, as screenshot.mjs does. FOLDER gets a PNG of each, by the last part of its path.
import path from "node:path";
import process from "node:process";
import { examine, launch, watch } from "./chromium.mjs";

const [folder, ...urls] = process.argv.slice(2);
if (!folder || !urls.length) {
  console.error("usage: node pages.mjs FOLDER URL...");
  process.exit(2);
}

const browser = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "ja-JP", timezoneId: "Asia/Tokyo" });
  for (const url of urls) {
    const page = await context.newPage();
    const seen = watch(page, url);
    const answer = await page.goto(url, { waitUntil: "load", timeout: 30_000 });
    if (answer && !answer.ok()) throw new Error(`${url} answered ${answer.status()}`);
    await page.screenshot({ path: path.join(folder, `${path.basename(new URL(url).pathname)}.png`), fullPage: true });
    console.log(JSON.stringify({ ...(await examine(page)), foreign: [...seen.foreign], complaints: seen.complaints }));
    await page.close();
  }
} finally {
  await browser.close();
}
