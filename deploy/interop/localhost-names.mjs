// For node --import: names below localhost are this machine (RFC 6761, 6.3), as every browser knows; not every C library does.
import dns from "node:dns";

const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(typeof name === "string" && name.endsWith(".localhost") ? "127.0.0.1" : name, ...rest);
