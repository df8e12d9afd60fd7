// A newcomer's way through the demonstration in headless Chromium: logs in with the planner's test card, tries the three things to try, reads a plan,
// and approves and applies one that waits. Each page is looked at in a wide and in a narrow window, and axe-core (WCAG 2.2 AA) runs over it.
// usage: node tour.mjs HOME_DIR https://login.localhost:PORT [FOLDER]   with FOLDER: PNGs of the pages for the documentation
// HOME_DIR has the NSS database of somebody who trusts the demonstration's https.
// Prints one line of JSON: for each page its title, URL, language, violations, foreign requests, complaints, and by how many pixels it is
// wider than its window; for each story how it ended and its lines; and how the approved plan ended.
// Exit code 0, 2 for a wrong command line; what the pages are worth is for the caller to judge.
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { examine, launchWithCard, playCard, watch } from "./chromium.mjs";

const [home, address, folder] = process.argv.slice(2);
if (!address) {
  console.error("usage: node tour.mjs HOME_DIR https://login.localhost:PORT [FOLDER]");
  process.exit(2);
}
const wide = { width: 1280, height: 900 };
const narrow = { width: 320, height: 800 };
const patience = 60_000;

const profile = mkdtempSync(join(home, "profile-"));
const context = await launchWithCard({ home, profile, origin: address, viewport: wide, locale: "ja-JP", timezoneId: "Asia/Tokyo" });
try {
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  await page.goto(address);
  await page.click('form[action$="/begin"]:has(input[value="card"]) button');
  await page.waitForURL((to) => to.pathname === "/card");
  await playCard(page, "planner");
  await page.waitForURL((to) => to.pathname === "/");
  const seen = watch(page, address); // the pages themselves ask nobody else

  const pages = [];
  // look examines the page that is open. With a name it is photographed, at most height pixels of it.
  async function look(name, height = 4000) {
    if (folder && name) {
      const full = await page.evaluate(() => document.documentElement.scrollHeight);
      await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true, clip: { x: 0, y: 0, width: wide.width, height: Math.min(full, height) } });
    }
    await page.setViewportSize(narrow);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await page.setViewportSize(wide);
    pages.push({ ...(await examine(page)), foreign: [...seen.foreign], complaints: [...seen.complaints], overflow });
    seen.foreign.clear();
    seen.complaints.length = 0;
  }
  async function press(selector) {
    await page.click(selector);
    await page.waitForLoadState("load");
  }

  await look("overview");

  const stories = {};
  for (const kind of ["leaver", "transfer", "fault"]) {
    await page.click('nav a[href="/"]');
    await page.waitForURL((to) => to.pathname === "/");
    await press(`a[href="/try/${kind}"]`);
    await look();
    await press("form.confirm button");
    await page.waitForURL((to) => to.pathname.startsWith("/try/stories/"));
    // The page loads itself again until the story has ended.
    await page.waitForSelector(".outcome");
    await look(kind);
    stories[kind] = {
      state: await page.innerText(".state-line .badge"),
      outcome: await page.innerText(".outcome"),
      lines: await page.locator("table.line tbody tr").allInnerTexts(),
    };
  }
  await press('nav a[href="/try"]');
  await look();
  for (const path of ["/orgs", "/quarantine", "/breakers"]) {
    await press(`nav a[href="${path}"]`);
    await look();
  }
  await page.click('nav a[href="/"]');
  await page.waitForURL((to) => to.pathname === "/");
  // The oldest plan is the first load.
  await page.locator('a[href^="/plans/"]').last().click();
  await page.waitForURL((to) => to.pathname.startsWith("/plans/"));
  await page.locator("details.fold > summary").first().click();
  await look("plan", 2200);
  await press('a[href$="/progress"]');
  await look();

  // A plan that policy doesn't approve waits for a person: read it, approve it, apply it, and watch it end.
  await page.click('nav a[href="/"]');
  await page.waitForURL((to) => to.pathname === "/");
  await page.locator("tr", { hasText: "承認待ち" }).locator('a[href^="/plans/"]').first().click();
  await page.waitForURL((to) => to.pathname.startsWith("/plans/"));
  await look();
  await press('form[action$="/approve"] button');
  await page.waitForSelector('form[action$="/apply"]');
  await look();
  await press('form[action$="/apply"] button');
  await page.waitForURL((to) => to.pathname.endsWith("/progress"));
  await page.waitForSelector('.state-line .badge:has-text("完了")');
  await look();
  const approved = await page.innerText(".state-line .badge");

  console.log(JSON.stringify({ pages, stories, approved }));
} finally {
  await context.close();
}
