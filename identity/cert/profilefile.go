package cert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// ProfileFile is the configuration of profiles in a file: the built-in ones with changes, or new ones, by name.
type ProfileFile struct {
	SchemaVersion int      `json:"schema_version"` // 1
	Profiles      []Config `json:"profiles"`
}

// MaxProfileFile bounds such a file, in octets.
const MaxProfileFile = 1 << 20

// ReadProfiles reads a ProfileFile in JSON. Unknown fields are refused: a rule that is misspelt would otherwise not hold.
func ReadProfiles(r io.Reader) ([]Config, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxProfileFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxProfileFile {
		return nil, fmt.Errorf("larger than %d octets", MaxProfileFile)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var p ProfileFile
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("no file of profiles as `certd profiles` writes it: %w", err)
	}
	if p.SchemaVersion != 1 {
		return nil, fmt.Errorf("schema_version %d, 1 is read", p.SchemaVersion)
	}
	return p.Profiles, nil
}
