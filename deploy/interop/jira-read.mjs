// Reads customers, organizations and service desks through jira.js, which checks each answer against its schemas, and prints
// what it read as one line of JSON. A mismatch is an error. JIRA_URL, JIRA_EMAIL, JIRA_TOKEN say where and as whom; CUSTOMERS
// holds e-mail addresses to look up, one a line.
import process from "node:process";
import { createCloudClient, createServiceDeskClient } from "jira.js";

const { JIRA_URL: host, JIRA_EMAIL: email, JIRA_TOKEN: apiToken } = process.env;
if (!host || !email || !apiToken) {
  console.error("jira-read: JIRA_URL, JIRA_EMAIL and JIRA_TOKEN are needed");
  process.exit(2);
}
const config = { host, auth: { type: "basic", email, apiToken }, onSchemaMismatch: "throw" };
const jira = createCloudClient(config);
const desk = createServiceDeskClient(config);

// all reads every page; a server that never says "last" or sends empty pages for ever is an error.
async function all(page) {
  const values = [];
  for (let start = 0, pages = 0; ; pages++) {
    const answer = await page(start);
    if (answer.start !== start || answer.size !== answer.values.length) {
      throw new Error(`page at ${start}: start ${answer.start}, size ${answer.size}, ${answer.values.length} values`);
    }
    values.push(...answer.values);
    start += answer.values.length;
    if (answer.isLastPage) return values;
    if (answer.values.length === 0 || pages > 1000) throw new Error(`paging doesn't end at ${start}`);
  }
}

const organizations = [];
for (const organization of await all((start) => desk.organization.getOrganizations({ start, limit: 50 }))) {
  const one = await desk.organization.getOrganization({ organizationId: Number(organization.id) });
  const users = await all((start) =>
    desk.organization.getUsersInOrganization({ organizationId: Number(organization.id), start, limit: 50 }),
  );
  organizations.push({
    id: organization.id,
    name: one.name,
    users: users.map((user) => ({ accountId: user.accountId, email: user.emailAddress, active: user.active })),
  });
}

const desks = [];
for (const found of await all((start) => desk.servicedesk.getServiceDesks({ start, limit: 50 }))) {
  const one = await desk.servicedesk.getServiceDeskById({ serviceDeskId: found.id });
  const linked = await all((start) =>
    desk.organization.getServiceDeskOrganizations({ serviceDeskId: found.id, start, limit: 50 }),
  );
  desks.push({ id: one.id, projectKey: one.projectKey, organizations: linked.map((o) => o.name) });
}

const customers = [];
for (const address of (process.env.CUSTOMERS ?? "").split("\n").filter(Boolean)) {
  const found = await jira.userSearch.findUsers({ query: address });
  for (const user of found) {
    const one = await jira.users.getUser({ accountId: user.accountId });
    customers.push({
      accountId: one.accountId,
      accountType: one.accountType,
      active: one.active,
      displayName: one.displayName,
      email: user.emailAddress,
    });
  }
}

// The old search is gone from the cloud; a stand-in that still answers it would hide a client's mistake.
const { status: oldSearch } = await fetch(`${host}/rest/api/3/search?jql=project%3DX`, {
  headers: { Authorization: `Basic ${Buffer.from(`${email}:${apiToken}`).toString("base64")}` },
});
console.log(JSON.stringify({ organizations, desks, customers, oldSearch }));
