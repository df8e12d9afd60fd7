package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
)

func newConfig(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "設定 / configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	check := &cobra.Command{
		Use:   "check [FILE]",
		Short: "設定を確かめ、誤りをすべて示す / check the configuration and tell every fault",
		Long: `ファイル、環境変数、フラグを合わせて確かめ、誤りを場所と直し方とともにすべて示します。秘密のファイルも読めるか確かめます。
Checks file, environment and flags together, and the files of secrets that they name. Every fault is told with its place
(file:line:column) and its remedy. Nothing else is opened: no database, no network. Exit code 2 where something is wrong.`,
		Example: "  musubi config check\n  musubi config check /etc/musubi/musubi.yaml --json",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return e.configCheck(args) },
	}
	show := &cobra.Command{
		Use:   "print",
		Short: "有効な設定と、その出どころを示す / print the effective settings and where each comes from",
		Long: `有効な値と、既定値・ファイル・環境変数・フラグのどれによるかを示します。秘密は、ファイルの名前だけを示します。
Prints each setting in force and whether it is the default or comes from the file, the environment or a flag. Of a secret only
its file's name is shown.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return e.configPrint() },
	}
	example := &cobra.Command{
		Use:     "example",
		Short:   "注釈つきの設定例を出す / print a commented example",
		Example: "  musubi config example > data/musubi.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if e.json {
				return e.printJSON("musubi.config.example.v1", struct {
					Text string `json:"text"`
				}{string(config.Example())})
			}
			_, err := e.stdout.Write(config.Example())
			return err
		},
	}
	cmd.AddCommand(check, show, example)
	return cmd
}

// configCheckDocument is the --json answer of config check.
type configCheckDocument struct {
	File   string        `json:"file"` // what was read; empty: there is none
	OK     bool          `json:"ok"`
	Faults config.Faults `json:"faults"`
}

func (e *env) configCheck(args []string) error {
	if len(args) == 1 {
		e.config = args[0]
	}
	loaded, err := e.loadConfig()
	var faults config.Faults
	switch {
	case err == nil:
		faults = loaded.CheckSecrets()
	case !errors.As(err, &faults):
		return err
	}
	if e.json {
		doc := configCheckDocument{File: loaded.File, OK: len(faults) == 0, Faults: append(config.Faults{}, faults...)}
		if err := e.printJSON("musubi.config.check.v1", doc); err != nil {
			return err
		}
		if !doc.OK {
			return boot.Usage(fmt.Errorf("%w: %d faults", errShown, len(faults)))
		}
		return nil
	}
	if len(faults) > 0 {
		return boot.Usage(faults)
	}
	if loaded.File == "" {
		say(e.stdout, "%s はありません。既定値で動きます。 / There is no file; the defaults are in force.", filepath.Join(e.data, config.FileName))
		return nil
	}
	say(e.stdout, "%s: 誤りはありません / no faults", loaded.File)
	return nil
}

// configDocument is the --json answer of config print.
type configDocument struct {
	File     string           `json:"file"`
	Settings []config.Setting `json:"settings"`
}

func (e *env) configPrint() error {
	loaded, err := e.loadConfig()
	if err != nil {
		return err
	}
	list := loaded.Settings()
	if e.json {
		return e.printJSON("musubi.config.v1", configDocument{loaded.File, list})
	}
	for _, s := range list {
		value := s.Value
		if value == "" {
			value = "-"
		}
		say(e.stdout, "%-26s %-44s %s", s.Key, value, s.Origin)
	}
	return nil
}
