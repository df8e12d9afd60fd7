// Package registration is how a relying party is written down by people: a file in YAML or JSON, ready profiles with gaps to fill, and what is wrong
// with a registration beside what the registry itself refuses.
//
// It is pure: it reads no file, no database and no clock. registration.schema.json describes the files for editors; a test holds it, the profiles and
// the code to each other. Called by cmd/musubi ("musubi rp").
package registration
