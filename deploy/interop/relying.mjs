// Walks through pages behind a login in one headless Chromium that takes any certificate: opens addresses and clicks, takes a PNG of each
// page, and runs axe-core (WCAG 2.2 AA) over it. Requests to the hosts of the addresses and of --through are the walk's own; any other is
// told as foreign.
// usage: node relying.mjs DIR [--through ORIGIN] STEP...   where a step is an address, or click:SELECTOR
// Prints one line of JSON: a report for each step (title, url, status, violations), foreign origins, what the browser complains of.
import { mkdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { examine, launch, watch } from "./chromium.mjs";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { through: { type: "string", multiple: true } } });
const [folder, ...steps] = positionals;
if (!folder || !steps.length) {
  console.error("usage: node relying.mjs DIR [--through ORIGIN] STEP...");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const browser = await launch();
try {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: "ja-JP",
    timezoneId: "Asia/Tokyo",
    ignoreHTTPSErrors: true,
  });
  const page = await context.newPage();
  const own = new Set([...(values.through ?? []), ...steps.filter((s) => s.startsWith("https://")).map((s) => new URL(s).origin)]);
  const seen = watch(page, steps[0]);
  const reports = [];
  for (const [i, step] of steps.entries()) {
    let status = 0;
    if (step.startsWith("click:")) {
      const [answer] = await Promise.all([
        page.waitForResponse((r) => r.request().isNavigationRequest() && r.status() < 300, { timeout: 20_000 }),
        page.click(step.slice("click:".length)),
      ]);
      status = answer.status();
      await page.waitForLoadState("networkidle");
    } else {
      status = (await page.goto(step, { waitUntil: "networkidle", timeout: 30_000 })).status();
    }
    await page.screenshot({ path: path.join(folder, `${i}.png`), fullPage: true });
    reports.push({ ...(await examine(page)), status });
  }
  console.log(JSON.stringify({ reports, foreign: [...seen.foreign].filter((o) => !own.has(o)), complaints: seen.complaints }));
} finally {
  await browser.close();
}
