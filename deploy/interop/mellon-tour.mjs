// People open a page behind mod_auth_mellon in Chromium: the hub asks for their card, and the page knows who they are. They log out there, and at the hub.
// usage: node mellon-tour.mjs HOME_DIR HUB_PORT SITES_PORT MELLON [FOLDER]   MELLON is the address of the Apache; with FOLDER: PNGs of the pages
// HOME_DIR has the NSS database of somebody who trusts both, and has imported a card.
// Prints one line of JSON: what each walk saw. What it is worth is for the caller to judge.
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { examine, holdAnswers, launchWithCard, playCard } from "./chromium.mjs";

const [home, hubPort, sitesPort, mellon, folder] = process.argv.slice(2);
if (!mellon) {
  console.error("usage: node mellon-tour.mjs HOME_DIR HUB_PORT SITES_PORT MELLON [FOLDER]");
  process.exit(2);
}
const login = `https://login.localhost:${hubPort}`;
const card = `https://card.localhost:${hubPort}`;
const sandbox = `https://sandbox.localhost:${sitesPort}`;
const secret = `${mellon}/page.html`;
const walks = {};
const pages = [];

// walk is one browser's way; where it fails it tells where it stood.
async function walk(name, fn) {
  const context = await launchWithCard({
    home, profile: mkdtempSync(join(home, "profile-")), origin: card, viewport: { width: 1100, height: 800 }, locale: "ja-JP", timezoneId: "Asia/Tokyo",
  });
  await holdAnswers(context);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) complaints.push(message.text());
  });
  const p = {
    page,
    open: (address) => page.goto(address, { waitUntil: "networkidle" }),
    async press(selector) {
      await page.click(selector);
      await page.waitForLoadState("networkidle");
    },
    // look examines a page of the hub.
    async look(what) {
      if (folder) await page.screenshot({ path: join(folder, `mellon-${what}.png`), fullPage: true });
      if (page.url().startsWith(login)) pages.push({ name: what, ...(await examine(page)) });
    },
    // who is what the protected page says.
    async who() {
      const text = (id) => page.innerText(`#${id}`);
      return { at: page.url(), name: await text("name"), mail: await text("mail"), nameID: await text("nameid"), idp: await text("idp") };
    },
    // byPage logs in with a test card that the sandbox's page plays.
    async byPage(id) {
      await p.press('form[action$="/begin"]:has(input[value="card"]) button');
      await page.waitForURL((to) => to.origin === sandbox);
      await playCard(page, id);
      await page.waitForLoadState("networkidle");
    },
    // answer sends the form that takes the answer to the provider.
    async answer() {
      await p.look("answer");
      await p.press("main form button");
    },
  };
  try {
    walks[name] = { ...(await fn(p)), complaints };
  } catch (error) {
    walks[name] = { failed: String(error).split("\n").slice(0, 3).join(" "), at: page.url(), complaints };
    if (folder) await page.screenshot({ path: join(folder, `failed-mellon-${name}.png`) }).catch(() => {});
  } finally {
    await context.close();
  }
}

// By the certificate that the browser's own TLS presents.
await walk("certificate", async (p) => {
  await p.open(secret);
  const asked = p.page.url();
  await p.look("login");
  await p.press('form[action$="/begin"]:has(input[value="card"]) button');
  await p.page.waitForURL((to) => to.origin === sandbox);
  await p.press(`a[href^="${card}/"]`);
  await p.answer();
  await p.look("in");
  return { asked, who: await p.who() };
});

// visited notes where a browser's way leads, answers that lead on included.
function visited(p) {
  const at = [];
  p.page.on("request", (request) => {
    if (request.isNavigationRequest()) at.push(request.url().split("?")[0]);
  });
  return at;
}

// inside logs in and stands on the protected page.
async function inside(p) {
  await p.open(secret);
  await p.byPage("city-administrator");
  await p.answer();
  return (await p.who()).name;
}

// standing says what the browser sees of both: the hub's own page of sessions, and the protected page.
async function standing(p) {
  await p.open(`${login}/sessions`);
  const hub = new URL(p.page.url()).pathname;
  await p.open(secret);
  return { hub, mellon: p.page.url() };
}

// Out at the provider: the hub's session ends with it.
await walk("outThere", async (p) => {
  const name = await inside(p);
  const at = visited(p);
  await p.press('a[href^="/mellon/logout"]');
  await p.look("out-there");
  const end = p.page.url();
  return { name, way: at, end, ...(await standing(p)) };
});

// Out at the hub: the provider's session ends with it.
await walk("outHere", async (p) => {
  const name = await inside(p);
  await p.open(`${login}/logout`);
  await p.look("out-ask");
  const at = visited(p);
  await p.press("main form button");
  await p.look("out-here");
  const text = (await p.page.innerText("main")).replace(/\s+/g, " ");
  // A job tells the provider; the page says so. Until then its own session stands.
  for (let i = 0; i < 60; i++) {
    await p.open(secret);
    if (p.page.url() !== secret) break;
    await p.page.waitForTimeout(500);
  }
  return { name, way: at, text, end: p.page.url(), ...(await standing(p)) };
});

// By a card that a page plays, whose holder may not enter.
await walk("refused", async (p) => {
  await p.open(secret);
  await p.byPage("contractor");
  await p.look("refused");
  const text = (await p.page.innerText("main")).replace(/\s+/g, " ");
  return { text, at: p.page.url() };
});

console.log(JSON.stringify({ walks, pages }));
