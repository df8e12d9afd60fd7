package work

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// property is an entity property in a body.
type property struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// setProperties puts entity properties into props.
func setProperties(props *map[string]json.RawMessage, list []property) *wire.Refusal {
	for _, p := range list {
		switch {
		case p.Key == "" || len(p.Key) > 255:
			return wire.Refuse(http.StatusBadRequest, "", "The property key must have 1 to 255 characters.")
		case len(p.Value) == 0 || len(p.Value) > 32768:
			return wire.Refuse(http.StatusBadRequest, "", "The property value must be JSON of at most 32768 characters.")
		}
		if *props == nil {
			*props = map[string]json.RawMessage{}
		}
		(*props)[p.Key] = p.Value
	}
	return nil
}

func (t *Tracker) listProperties(c *site.Call) {
	keys := []doc{}
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, k := range slices.Sorted(maps.Keys(x.Props)) {
			keys = append(keys, doc{"self": t.issueURL(c, x) + "/properties/" + k, "key": k})
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, doc{"keys": keys})
	}
}

func (t *Tracker) getProperty(c *site.Call) {
	k := c.Vars["propertyKey"]
	var value json.RawMessage
	if t.read(c, func(x *issue) *wire.Refusal {
		var ok bool
		if value, ok = x.Props[k]; !ok {
			return wire.Refuse(http.StatusNotFound, "", "The property "+wire.Clip(k)+" does not exist.")
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, doc{"key": k, "value": value})
	}
}

func (t *Tracker) setProperty(c *site.Call) {
	var value json.RawMessage
	if no := wire.ReadBody(c, &value); no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	status := http.StatusOK
	if t.write(c, func(old *issue) *wire.Refusal {
		k := c.Vars["propertyKey"]
		x := t.touch(c, old)
		x.Props = maps.Clone(x.Props)
		if _, ok := x.Props[k]; !ok {
			status = http.StatusCreated
		}
		if no := setProperties(&x.Props, []property{{k, value}}); no != nil {
			return no
		}
		return t.save(x)
	}) {
		c.W.WriteHeader(status)
	}
}

func (t *Tracker) deleteProperty(c *site.Call) {
	if t.write(c, func(old *issue) *wire.Refusal {
		k := c.Vars["propertyKey"]
		if _, ok := old.Props[k]; !ok {
			return wire.Refuse(http.StatusNotFound, "", "The property "+wire.Clip(k)+" does not exist.")
		}
		x := t.touch(c, old)
		x.Props = maps.Clone(x.Props)
		delete(x.Props, k)
		return t.save(x)
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}
