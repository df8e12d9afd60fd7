// Drives the Web API through @slack/web-api: people, channels, messages, threads, user groups, paging, refusals and the wait after a
// 429. Prints what it read as one line of JSON. SLACK_URL and SLACK_TOKEN say where and as whom; USERS holds the ids of people to
// invite, one a line; MESSAGES is how many messages to post into one channel, more than its quota lets through at once.
import process from "node:process";
import slack from "@slack/web-api"; // CommonJS

const { WebClient, LogLevel, ErrorCode, retryPolicies } = slack;

const { SLACK_URL: slackApiUrl, SLACK_TOKEN: token } = process.env;
const users = (process.env.USERS ?? "").split("\n").filter(Boolean);
const messages = Number(process.env.MESSAGES);
if (!slackApiUrl || !token || users.length < 2 || !messages) {
  console.error("slack-drive: SLACK_URL, SLACK_TOKEN, USERS and MESSAGES are needed");
  process.exit(2);
}
const options = { slackApiUrl, allowAbsoluteUrls: false, logLevel: LogLevel.ERROR, retryConfig: retryPolicies.rapidRetryPolicy };
const client = new WebClient(token, options);

let waits = 0;
client.on("rate_limited", () => waits++);

// refused gives the vendor's code of a call that must fail.
async function refused(call) {
  try {
    await call();
  } catch (error) {
    if (error.code === ErrorCode.PlatformError) return error.data.error;
    throw error;
  }
  throw new Error("the call was not refused");
}

// pages reads a paged method to its end.
async function pages(method, options, field) {
  const values = [];
  let count = 0;
  for await (const page of client.paginate(method, options)) {
    values.push(...page[field]);
    if (++count > 1000) throw new Error(`paging of ${method} doesn't end`);
  }
  return { values, count };
}

const me = await client.auth.test();
const people = await pages("users.list", { limit: 7 }, "members");
const found = await client.users.lookupByEmail({ email: people.values.find((p) => p.id === users[0]).profile.email });
const info = await client.users.info({ user: users[1] });

const { channel } = await client.conversations.create({ name: "incident-1" });
await client.conversations.setTopic({ channel: channel.id, topic: "避難所の開設" });
await client.conversations.setPurpose({ channel: channel.id, purpose: "連絡" });
await client.conversations.invite({ channel: channel.id, users: users.join(",") });
const members = await pages("conversations.members", { channel: channel.id, limit: 5 }, "members");
await client.conversations.kick({ channel: channel.id, user: users[1] });

const first = await client.chat.postMessage({
  channel: channel.id,
  text: "応答してください",
  blocks: [
    { type: "section", text: { type: "mrkdwn", text: "応答してください" } },
    { type: "actions", elements: [{ type: "button", action_id: "ack", text: { type: "plain_text", text: "確認" } }] },
  ],
});
for (let n = 0; n < messages; n++) {
  await client.chat.postMessage({ channel: channel.id, thread_ts: first.ts, text: `経過 ${n}` });
}
const thread = await pages("conversations.replies", { channel: channel.id, ts: first.ts, limit: 2 }, "messages");
const history = await pages("conversations.history", { channel: channel.id, limit: 3 }, "messages");
await client.chat.update({ channel: channel.id, ts: first.ts, text: "応答済み" });
await client.reactions.add({ channel: channel.id, timestamp: first.ts, name: "white_check_mark" });
const { permalink } = await client.chat.getPermalink({ channel: channel.id, message_ts: first.ts });
const direct = await client.conversations.open({ users: users[0] });
await client.chat.postEphemeral({ channel: channel.id, user: users[0], text: "あなただけに" });

const { usergroup } = await client.usergroups.create({ name: "当番", handle: "toban" });
await client.usergroups.users.update({ usergroup: usergroup.id, users: users.slice(0, 3).join(",") });
await client.usergroups.users.update({ usergroup: usergroup.id, users: users[0] });
const onDuty = await client.usergroups.users.list({ usergroup: usergroup.id });

await client.conversations.archive({ channel: channel.id });
const codes = {
  nameTaken: await refused(() => client.conversations.create({ name: "incident-1" })),
  archived: await refused(() => client.chat.postMessage({ channel: channel.id, text: "x" })),
  invalidUsers: await refused(() => client.usergroups.users.update({ usergroup: usergroup.id, users: `${users[0]},U0NOBODY` })),
  unknown: await refused(() => client.apiCall("conversations.nothing")),
  wrongToken: await refused(() => new WebClient("xoxb-wrong", options).auth.test()),
};
// Without waiting, a 429 is an error of its own with the seconds to wait.
let retryAfter = 0;
const hasty = new WebClient(token, { ...options, rejectRateLimitedCalls: true });
const { channel: second } = await client.conversations.create({ name: "incident-2" });
for (let n = 0; n < 10 && !retryAfter; n++) {
  try {
    await hasty.chat.postMessage({ channel: second.id, text: "x" });
  } catch (error) {
    if (error.code !== ErrorCode.RateLimitedError) throw error;
    retryAfter = error.retryAfter;
  }
}
console.log(
  JSON.stringify({
    bot: me.user_id,
    people: people.values.filter((p) => !p.is_bot).map((p) => p.id),
    peoplePages: people.count,
    found: found.user.id,
    info: info.user.name,
    members: members.values.length,
    memberPages: members.count,
    thread: thread.values.map((m) => m.text),
    threadPages: thread.count,
    history: history.values.map((m) => m.subtype ?? m.text),
    direct: direct.channel.id,
    permalink,
    onDuty: onDuty.users,
    codes,
    waits,
    retryAfter,
  }),
);
