// A person's way through the pages of login in headless Chromium: first use of a card, choice of the post, sessions, refusals, logout. Each page is looked
// at in a wide and in a narrow window, and axe-core (WCAG 2.2 AA) runs over it. What the Content-Security-Policy of a form lets through on the way to the
// relying party is part of what is tested. Answers are held so that they can be looked at, and go by their button; one goes by itself.
// usage: node signin.mjs JSON   with login, card, authorize, fresh, closed, post, service, logout (addresses), enters (addresses of logins at services that are told of a logout by the browser), password, callback, origins, folder (for
// PNGs; may be empty). service is a page of another site whose button posts a SAML request.
// Prints one line of JSON: for each page what examine finds, its address, bytes, foreign requests, complaints, overflow in a window of 320 pixels; where
// the ways ended; and the milliseconds to DOMContentLoaded of the login page at a quarter of the processor's speed, and of the page that takes a SAML
// answer, from the press of the service's button.
// Exit code 0, 2 for a wrong command line; what the pages are worth is for the caller to judge.
import { join } from "node:path";
import process from "node:process";
import { examine, holdAnswers, launch, watch } from "./chromium.mjs";

const given = process.argv[2] && JSON.parse(process.argv[2]);
if (!given?.login) {
  console.error("usage: node signin.mjs JSON");
  process.exit(2);
}
const wide = { width: 1280, height: 900 };
const narrow = { width: 320, height: 800 };
const pages = [];
const ends = {};
const answered = [];

const browser = await launch();

// person opens a browser of somebody's own.
async function person(held = true) {
  const context = await browser.newContext({ viewport: wide, locale: "ja-JP", timezoneId: "Asia/Tokyo", ignoreHTTPSErrors: true });
  if (held) await holdAnswers(context);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const seen = watch(page, given.login);
  let bytes = 0;
  page.on("response", async (response) => {
    if (response.request().resourceType() !== "document" || response.status() === 303) return;
    bytes = (await response.body().catch(() => Buffer.alloc(0))).length;
  });
  return {
    page,
    async open(address) {
      await page.goto(address, { waitUntil: "load" });
    },
    async press(selector, until) {
      await page.click(selector);
      if (until) await page.waitForURL(until);
      await page.waitForLoadState("load");
    },
    // look examines the page that is open, under a name.
    async look(name) {
      if (given.folder) await page.screenshot({ path: join(given.folder, `${name}.png`), fullPage: true });
      await page.setViewportSize(narrow);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (given.folder) await page.screenshot({ path: join(given.folder, `${name}-narrow.png`), fullPage: true });
      await page.setViewportSize(wide);
      const foreign = [...seen.foreign].filter((origin) => !given.origins.includes(origin));
      // A refusal is an answer with a status that Chromium notes on its console.
      const complaints = seen.complaints.filter((text) => !/the server responded with a status of 4\d\d/.test(text));
      pages.push({ name, ...(await examine(page)), foreign, complaints, overflow, bytes, text: await page.innerText("main") });
      seen.foreign.clear();
      seen.complaints.length = 0;
    },
  };
}
const at = (path) => (url) => url.pathname === path;
const below = (prefix, end = "") => (url) => url.pathname.startsWith(prefix) && url.pathname.endsWith(end);

try {
  {
    const { page, open, press, look } = await person();
    await open(given.authorize);
    await look("methods");
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=0"]', below("/login/"));
    await look("linking");
    await press('a[href$="/by/password"]');
    await look("password");
    await page.fill("#name", "taro@city.example");
    await page.fill("#password", "wrong wrong wrong");
    await press("main form button");
    await page.waitForSelector('[role="alert"]');
    await look("password-wrong");
    await page.fill("#password", given.password);
    await press("main form button", (url) => url.href.startsWith(given.callback));
    ends.firstUse = page.url();
    await open(given.login + "/sessions");
    await look("sessions");
    await open(given.login + "/services");
    await look("services");
    await open(given.post);
    await look("answer");
    await press("main form button", (url) => url.href.startsWith(given.callback) || url.protocol === "chrome-error:");
    ends.formPost = await page.innerText("body");
    // A service asks by a form of its own site, while another tab's login is under way: neither the session nor that login is lost. The service leads
    // on to another host.
    const tab = await page.context().newPage();
    await tab.goto(given.fresh, { waitUntil: "load" });
    await open(given.service);
    await press("form button", below("/login/"));
    await look("answer-saml");
    await press("main form button", (url) => url.pathname === "/landed" || url.protocol === "chrome-error:");
    ends.beyond = await page.innerText("body");
    await tab.click('form[action$="/begin"] button');
    await tab.waitForURL((url) => url.hostname === "sandbox.localhost");
    await tab.click('a[href*="card=0"]');
    await tab.waitForURL((url) => url.href.startsWith(given.callback));
    ends.tab = tab.url();
    await tab.close();
    for (let i = 0; i < 10; i++) {
      await open(given.service);
      await press("form button", below("/login/"));
      answered.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd));
    }
    answered.sort((a, b) => a - b);
    await open(given.login + "/logout");
    await look("logout");
    await press("main form button", below("/saml/slo/done/"));
    await look("logged-out");
  }
  {
    // An answer goes by itself, and isn't in the browser's history: who goes back sends no old answer again.
    const { page, open, press } = await person(false);
    await open(given.service);
    await press("form button", below("/login/"));
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=0"]', (url) => url.pathname === "/landed");
    ends.itself = await page.innerText("body");
    await page.goBack({ waitUntil: "load" });
    ends.before = new URL(page.url()).pathname;
  }
  {
    // Out of services that only the browser can tell: one asks for a press and sends the browser back, one keeps it, one is told when the person goes on.
    const { page, open, press, look } = await person();
    await open(given.login + "/");
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=1"]', below("/login/"));
    await press('form[action$="/choose"] button', at("/"));
    for (const address of given.enters) await open(address);
    await open(given.login + "/logout");
    await press("main form button", below("/saml/slo/next/"));
    await look("leaving");
    await press("main form button", (url) => url.pathname === "/slo/chat" || url.protocol === "chrome-error:");
    ends.kept = await page.innerText("body");
    await open(given.login + "/logout/done");
    await look("logged-out-open");
    await press('main a[href^="/saml/slo/next/"]', below("/saml/slo/done/"));
    await look("logged-out-services");
  }
  {
    const { page, open, press, look } = await person();
    await open(given.login + "/");
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=1"]', below("/login/"));
    await look("posts");
    await page.keyboard.press("Tab");
    await press('input[value="city-b"]');
    await press('form[action$="/choose"] button', at("/"));
    ends.posts = await page.innerText("body");
    await open(given.login + "/sessions");
    await look("sessions-posts");
    // Seen by a relying party, so that its frame is loaded at logout.
    await open(given.authorize);
    await open(given.logout);
    await look("logout-party");
    await press('form[action="/oidc/logout/confirm"] button');
    await look("logged-out-party");
    ends.frames = page.frames().length - 1;
    await press("main a.button", (url) => url.hostname === "app.localhost");
    ends.bye = page.url();
  }
  {
    const { open, press, look, page } = await person();
    await open(given.closed);
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=2"]', below("/login/", "/return"));
    await look("refused");
    await press("main a.button", (url) => url.href.startsWith(given.callback));
    ends.refused = page.url();
    await open(given.login + "/");
    await look("methods-hub");
    await press('a[href$="/by/break_glass"]');
    await look("sealed");
    await page.goBack();
    await press('form[action$="/cancel"] button');
    await look("cancelled");
    await open(given.authorize);
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=none"]', (url) => url.hostname === "card.localhost");
    await look("no-card");
    await press("main a.button", below("/login/"));
    ends.back = page.url();
    await press('form[action$="/begin"] button', (url) => url.hostname === "sandbox.localhost");
    await press('a[href*="card=3"]', below("/login/"));
    await press('a[href$="/by/invitation"]');
    await look("invitation");
    for (const [name, address] of [
      ["unknown", given.login + "/login/AAAAAAAAAAAAAAAAAAAAAA"],
      ["not-found", given.login + "/login/x/y/z"],
      ["card-host", given.card + "/"],
      ["party-problem", given.authorize.replace("redirect_uri=", "redirect_uri=https%3A%2F%2Fevil.example&x=")],
    ]) {
      await open(address);
      await look(name);
    }
  }

  // A slow machine opens the login page.
  const { page, open } = await person();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  const loaded = [];
  for (let i = 0; i < 10; i++) {
    await open(given.authorize);
    loaded.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd));
  }
  loaded.sort((a, b) => a - b);

  console.log(JSON.stringify({ pages, ends, loaded: { median: loaded[5], worst: loaded[9] }, answered: { median: answered[5], worst: answered[9] } }));
} finally {
  await browser.close();
}
