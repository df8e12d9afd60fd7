package main

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/identity/cert"
)

// loadProfiles gives the built-in profiles, replaced and joined by those of a file.
func loadProfiles(file string) (map[string]*cert.Profile, error) {
	configs := cert.Profiles()
	if file != "" {
		more, err := readProfiles(file)
		if err != nil {
			return nil, usage("%s: %w", file, err)
		}
		configs = append(configs, more...)
	}
	out := make(map[string]*cert.Profile)
	for _, c := range configs {
		p, err := cert.NewProfile(c)
		if err != nil {
			return nil, usage("%s: %w", file, err)
		}
		out[c.Name] = p
	}
	return out, nil
}

func readProfiles(file string) ([]cert.Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return cert.ReadProfiles(f)
}

func newProfiles() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "検証の規則を JSON で表示する / print the rules of each profile as JSON",
		Long: `各プロファイルの規則を JSON で表示します。書き換えたファイルを verify --profiles に渡せます。
Prints the rules of each profile as JSON. Change what you need in a copy and give it to verify --profiles; what docs/certificates.md calls unknown
is to be confirmed with J-LIS's documents first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := loadProfiles(file); err != nil {
				return err
			}
			out := cert.ProfileFile{SchemaVersion: 1, Profiles: cert.Profiles()}
			if file != "" {
				more, err := readProfiles(file)
				if err != nil {
					return usage("%s: %w", file, err)
				}
				out.Profiles = more
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(out)
		},
	}
	cmd.Flags().StringVar(&file, "profiles", "", "check and print this file instead of the built-in profiles")
	return cmd
}
