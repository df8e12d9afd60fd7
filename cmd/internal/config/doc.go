// Package config reads what an administrator sets: one YAML file, environment variables and flags, in rising precedence over
// defaults that need none of them. One table (settings) holds every setting with its default, its check and its words; the loader,
// the environment, `config print`, the example and the JSON Schema are all made of it.
//
// It is strict: an unknown key, an unknown MUSUBI_ variable or a wrong value is a fault with its place, and all faults are told at
// once. A secret is never a value: settings name files that hold one, and a secret written where it doesn't belong is refused
// without being repeated.
//
// It opens no database and no network, and decides nothing about the hub. Called by cmd/musubi and cmd/internal/boot.
package config
