// Receives mail by smtp-server over STARTTLS with AUTH, and reads each by postal-mime. TLS_KEY and TLS_CERT name PEM files,
// MAIL_USER and MAIL_PASSWORD the login, MAIL_OUT the file to which what was read is appended, one line of JSON a mail, before the
// mail is accepted. Prints {"port": n} when it is ready.
import { appendFileSync, readFileSync } from "node:fs";
import process from "node:process";
import PostalMime from "postal-mime";
import { SMTPServer } from "smtp-server";

const { TLS_KEY, TLS_CERT, MAIL_USER, MAIL_PASSWORD, MAIL_OUT } = process.env;

async function read(stream, session) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const raw = Buffer.concat(chunks);
  const mail = await PostalMime.parse(raw);
  const header = (name) => mail.headers.filter((h) => h.key === name).map((h) => h.value);
  appendFileSync(
    MAIL_OUT,
    JSON.stringify({
      subject: mail.subject,
      from: mail.from,
      to: mail.to,
      messageId: mail.messageId,
      inReplyTo: mail.inReplyTo ?? "",
      references: mail.references ?? "",
      autoSubmitted: header("auto-submitted"),
      date: mail.date,
      text: mail.text ?? "",
      html: mail.html ?? "",
      attachments: mail.attachments.length,
      envelopeFrom: session.envelope.mailFrom.address,
      envelopeTo: session.envelope.rcptTo.map((r) => r.address),
      secure: session.secure,
      user: session.user ?? "",
      longest: Math.max(...raw.toString("latin1").split("\r\n").map((line) => line.length)),
      ascii: raw.every((octet) => octet < 128),
    }) + "\n",
  );
}

const server = new SMTPServer({
  key: readFileSync(TLS_KEY),
  cert: readFileSync(TLS_CERT),
  size: 64 << 10,
  authMethods: ["PLAIN", "LOGIN"],
  onAuth(auth, _session, callback) {
    if (auth.username !== MAIL_USER || auth.password !== MAIL_PASSWORD) {
      return callback(new Error("Invalid username or password"));
    }
    callback(null, { user: auth.username });
  },
  onRcptTo(address, _session, callback) {
    if (address.address.endsWith("@full.example.lg.jp")) {
      const busy = new Error("4.2.2 Mailbox full, try again later");
      busy.responseCode = 452;
      return callback(busy);
    }
    if (address.address.startsWith("unknown@")) return callback(new Error("User unknown"));
    callback();
  },
  onData(stream, session, callback) {
    read(stream, session).then(
      () => callback(stream.sizeExceeded ? Object.assign(new Error("Message too large"), { responseCode: 552 }) : null),
      callback,
    );
  },
});
server.on("error", (err) => console.error("mail-server:", err.message));
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.server.address().port })));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
