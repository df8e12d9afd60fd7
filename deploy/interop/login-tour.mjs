// People log in to the demonstration, in Chromium: with a card's certificate by the browser's own TLS, and with cards that the sandbox's page plays.
// Each page is looked at in a wide and in a narrow window, and axe-core (WCAG 2.2 AA) runs over it.
// usage: node login-tour.mjs HOME_DIR HUB_PORT SITES_PORT [FOLDER]   with FOLDER: PNGs of the pages
// HOME_DIR has the NSS database of somebody who trusts the demonstration's https and has imported the card of a city's administrator.
// Prints one line of JSON: what was seen on each page, and what came of each walk. What it is worth is for the caller to judge.
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { examine, holdAnswers, launchWithCard, playCard, testPIN as pin } from "./chromium.mjs";

const [home, hubPort, sitesPort, folder] = process.argv.slice(2);
if (!sitesPort) {
  console.error("usage: node login-tour.mjs HOME_DIR HUB_PORT SITES_PORT [FOLDER]");
  process.exit(2);
}
const login = `https://login.localhost:${hubPort}`;
const card = `https://card.localhost:${hubPort}`;
const [jira, slack, wiki, faq, sandbox] = ["jira", "slack", "wiki", "faq", "sandbox"].map((name) => `https://${name}.localhost:${sitesPort}`);
const ours = new Set([login, card, jira, slack, wiki, faq, sandbox]);
const wide = { width: 1100, height: 800 };
const narrow = { width: 320, height: 800 };

const pages = [];
const walks = {};

// person is one browser: what it looked at, and whom it asked.
class Person {
  static async sitsDown(options = {}) {
    const context = await launchWithCard({
      home,
      profile: mkdtempSync(join(home, "profile-")),
      origin: card,
      viewport: wide,
      locale: "ja-JP",
      timezoneId: "Asia/Tokyo",
      ...options,
    });
    await holdAnswers(context);
    return new Person(context, await context.newPage());
  }

  constructor(context, page) {
    Object.assign(this, { context, page, foreign: new Set(), complaints: [], visited: [], bytes: 0, shown: 0 });
    page.setDefaultTimeout(30_000);
    page.on("request", (request) => {
      const to = new URL(request.url());
      if (to.protocol.startsWith("http") && !ours.has(to.origin)) this.foreign.add(to.origin);
      if (request.isNavigationRequest()) this.visited.push(to.origin + to.pathname);
    });
    page.on("response", async (response) => {
      if (response.status() >= 300 && response.status() < 400) return;
      // What counts is the page that stands there in the end, with what it loads, and none that led to it.
      if (response.request().isNavigationRequest() && response.frame() === page.mainFrame()) {
        this.shown++;
        this.bytes = 0;
      }
      const { shown } = this;
      const { length } = await response.body().catch(() => "");
      if (shown === this.shown) this.bytes += length;
    });
    page.on("console", (message) => {
      const refused = /the server responded with a status of 4\d\d/.test(message.text()); // a refusal is an answer
      if (message.type() === "error" && !refused && !message.location().url.endsWith("/favicon.ico")) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
  }

  async open(address) {
    this.bytes = 0;
    await this.page.goto(address, { waitUntil: "networkidle" });
  }

  // press follows a link or sends a form, and waits for what comes of it.
  async press(selector) {
    this.bytes = 0;
    await this.page.click(selector);
    await this.settled();
  }

  async settled() {
    await this.page.waitForLoadState("networkidle");
  }

  async look(name) {
    if (folder) await this.page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
    const bytes = this.bytes;
    await this.page.setViewportSize(narrow);
    const overflow = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await this.page.setViewportSize(wide);
    pages.push({ name, ...(await examine(this.page)), foreign: [...this.foreign], complaints: [...this.complaints], overflow, bytes });
    this.foreign.clear();
    this.complaints.length = 0;
  }

  async text() {
    return (await this.page.innerText("main")).replace(/\s+/g, " ");
  }

  origin() {
    return new URL(this.page.url()).origin;
  }

  // goesOn presses the button that takes SAML's answer from the hub to the site, where the hub asks for that.
  async goesOn() {
    // A product's page that posts its request is gone in a moment.
    await this.page.waitForSelector("header form.who, main form [name=SAMLResponse]", { state: "attached" });
    if (this.origin() !== login || !(await this.page.locator("main form [name=SAMLResponse]").count())) return;
    await this.page.click("main form button");
    await this.page.waitForURL((to) => to.origin !== login);
    await this.settled();
  }

  // enters opens a site, where the hub has nothing to ask.
  async enters(address) {
    await this.open(address);
    await this.goesOn();
    return { origin: this.origin(), who: await this.page.innerText("header form.who span") };
  }

  // leavesBy presses a site's logout button and waits until a page says how it ended: on the way the browser goes through several.
  async leavesBy(words) {
    this.bytes = 0;
    await this.page.click("header form.who button");
    await this.page.waitForFunction((w) => document.querySelector("main")?.innerText.includes(w), words);
    await this.settled();
  }

  // toCard goes from the login page to the page that plays cards.
  async toCard() {
    await this.press('form[action$="/begin"]:has(input[value="card"]) button');
    await this.page.waitForURL((to) => to.origin === sandbox);
    await this.settled();
  }

  // plays presents a test card on the sandbox's page.
  async plays(id, digits = pin) {
    this.bytes = 0;
    await playCard(this.page, id, digits);
    await this.settled();
  }

  async leaves() {
    await this.context.close();
  }
}

// A walk that fails tells where it stood; the others go on.
async function walk(name, options, fn) {
  const person = await Person.sitsDown(options);
  try {
    walks[name] = await fn(person);
  } catch (error) {
    walks[name] = { failed: String(error).split("\n").slice(0, 3).join(" "), at: person.page.url() };
    if (folder) await person.page.screenshot({ path: join(folder, `failed-${name}.png`) }).catch(() => {});
  } finally {
    await person.leaves();
  }
}

// By the browser's own certificate into the help desk, from there into the chat and two more sites, by SAML and by OpenID Connect, without another
// login; out again by the one that has single logout, which ends the session of the other protocol too.
await walk("certificate", {}, async (p) => {
  await p.open(`${jira}/`);
  await p.look("login");
  await p.toCard();
  await p.look("card");
  p.visited.length = 0;
  await p.press(`a[href^="${card}/"]`);
  const presented = p.visited.filter((at) => at.startsWith(card)).length;
  await p.look("answer");
  await p.goesOn();
  const jiraPage = { origin: p.origin(), who: await p.page.innerText("header form.who span") };
  await p.look("jira");
  p.visited.length = 0;
  const slackPage = { ...(await p.enters(`${slack}/`)), cards: p.visited.filter((at) => at.startsWith(card)).length };
  await p.look("slack");
  await p.enters(`${slack}/slack/me`);
  const told = await p.text();
  await p.look("slack-told");
  const wikiPage = await p.enters(`${wiki}/`);
  await p.look("wiki");
  const faqPage = await p.enters(`${faq}/`);
  await p.look("faq");
  await p.open(`${login}/sessions`);
  const sessions = await p.page.locator("main").innerText();
  await p.look("sessions");
  // The help desk's product doesn't tell the hub of a logout.
  await p.open(`${jira}/`);
  await p.press("header form.who button");
  const alone = await p.text();
  await p.open(`${wiki}/`);
  await p.leavesBy("ログイン先からもログアウトしました");
  await p.look("logged-out");
  const after = await p.text();
  await p.open(`${faq}/`);
  const faqAfter = p.origin();
  await p.open(`${jira}/`);
  return { presented, jira: jiraPage, slack: slackPage, wiki: wikiPage, faq: faqPage, told, sessions, alone, after, faqAfter, jiraAfter: p.origin() };
});

// Out by OpenID Connect: the site by SAML is told too.
await walk("otherway", {}, async (p) => {
  await p.open(`${wiki}/`);
  await p.toCard();
  await p.plays("city");
  await p.goesOn();
  const wikiPage = p.origin();
  await p.enters(`${faq}/`);
  await p.leavesBy("ログアウトしました");
  await p.look("logged-out-by-openid");
  const after = await p.text();
  await p.open(`${wiki}/`);
  return { wiki: wikiPage, after, wikiAfter: p.origin() };
});

// Somebody with two posts, whose first PIN is wrong, chooses the post; nothing needs a script.
await walk("posts", { javaScriptEnabled: false }, async (p) => {
  await p.open(`${login}/`);
  await p.toCard();
  await p.plays("two-posts", "0000");
  const wrong = await p.page.innerText("[role=alert]");
  await p.plays("two-posts");
  const choice = await p.text();
  return { wrong, choice, at: p.page.url() };
});

// By the keyboard alone.
await walk("keyboard", {}, async (p) => {
  const reach = async (selector) => {
    for (let i = 0; i < 60; i++) {
      if (await p.page.evaluate((s) => document.activeElement?.matches(s), selector)) return;
      await p.page.keyboard.press("Tab");
    }
    throw new Error(`the keyboard doesn't reach ${selector}`);
  };
  await p.open(`${login}/`);
  await reach('form[action$="/begin"]:has(input[value="card"]) button');
  await Promise.all([p.page.waitForURL((to) => to.origin === sandbox), p.page.keyboard.press("Enter")]);
  await reach("input[name=card]");
  await p.page.keyboard.press("Space");
  await p.page.keyboard.press("ArrowDown");
  await reach("#pin");
  await p.page.keyboard.type(pin);
  await Promise.all([p.page.waitForURL((to) => to.origin === login), p.page.keyboard.press("Enter")]);
  await p.settled();
  await p.look("console");
  return { at: p.page.url(), header: (await p.page.innerText("header")).replace(/\s+/g, " ") };
});

// Cards that don't do: what is said, and that the login page is one step away. One that is nobody's yet asks for a proof of the account.
await walk("refused", {}, async (p) => {
  const said = {};
  for (const id of ["revoked", "expired", "signature"]) {
    await p.open(`${jira}/`);
    await p.toCard();
    await p.plays(id);
    await p.look(`refused-${id}`);
    const text = await p.text();
    await p.press(`a[href^="${login}/login/"]`);
    said[id] = { text, back: p.origin() };
  }
  await p.open(`${jira}/`);
  await p.toCard();
  await p.plays("unlinked");
  await p.look("first-use");
  said.unlinked = { text: await p.text(), back: p.origin() };
  // A good card whose holder the policies don't let into the chat.
  await p.open(`${slack}/`);
  await p.toCard();
  await p.plays("city");
  await p.look("denied");
  said.city = { text: await p.text(), back: p.origin() };
  return said;
});

console.log(JSON.stringify({ pages, walks }));
