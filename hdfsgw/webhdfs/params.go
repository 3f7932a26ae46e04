package webhdfs

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/namespace"
)

// params are the parameters of a request, by their names in small letters: Hadoop does not tell letters apart there.
type params map[string][]string

// parseParams reads a query. Unlike net/url it keeps what has a semicolon in it, as paths may.
func parseParams(query string) (params, error) {
	p := params{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		k, errK := url.QueryUnescape(key)
		v, errV := url.QueryUnescape(value)
		if errK != nil || errV != nil {
			return nil, namespace.Refuse(namespace.IllegalArgument, "Malformed escape in the query: %s", pair)
		}
		k = strings.ToLower(k)
		p[k] = append(p[k], v)
	}
	return p, nil
}

// get returns the first value of a parameter, "" if there is none.
func (p params) get(name string) string {
	if v := p[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (p params) has(name string) bool { return p.get(name) != "" }

func invalid(name, format string, args ...any) error {
	return namespace.Refuse(namespace.IllegalArgument, "Invalid value for webhdfs parameter \"%s\": %s", name,
		fmt.Sprintf(format, args...))
}

func missing(name, op string) error {
	return namespace.Refuse(namespace.IllegalArgument, "Required param %s for op: %s is null or empty", name, op)
}

// number reads a whole number of at least least, absent if it is not given.
func (p params) number(name string, absent, least int64, javaType string, bits int) (int64, error) {
	text := p.get(name)
	if text == "" || text == "null" {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return 0, invalid(name, "Failed to parse \"%s\" as a radix-10 %s integer.", text, javaType)
	}
	if n < least {
		return 0, invalid(name, "Invalid parameter range: %s = %d < %d", name, n, least)
	}
	return n, nil
}

func (p params) long(name string, absent, least int64) (int64, error) {
	return p.number(name, absent, least, "long", 64)
}

func (p params) flag(name string, absent bool) (bool, error) {
	switch text := strings.ToLower(p.get(name)); text {
	case "", "null":
		return absent, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, invalid(name, "Failed to parse \"%s\" to Boolean.", p.get(name))
	}
}

// permission reads octal permission bits.
func (p params) permission(name string, absent uint16) (uint16, error) {
	text := p.get(name)
	if text == "" || text == "null" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 8, 15)
	switch {
	case err != nil:
		return 0, invalid(name, "Failed to parse \"%s\" as a radix-8 short integer.", text)
	case n > 0o1777:
		return 0, invalid(name, "Invalid parameter range: %s = %o > 1777", name, n)
	}
	return uint16(n), nil
}

const userDomain = "^[A-Za-z_][A-Za-z0-9._-]*[$]?$"

const aclDomain = "^(default:)?(user|group|mask|other):[[A-Za-z_][A-Za-z0-9._-]]*:([rwx-]{3})?" +
	"(,(default:)?(user|group|mask|other):[[A-Za-z_][A-Za-z0-9._-]]*:([rwx-]{3})?)*$"

// user reads the name of a user, "" if none was given.
func (p params) user(name string) (string, error) {
	text := p.get(name)
	if text != "" && !isUser(text) {
		return "", invalid(name, "Invalid value: \"%s\" does not belong to the domain %s", text, userDomain)
	}
	return text, nil
}

// isUser matches userDomain, for which a regular expression costs more than all else that a request does.
func isUser(text string) bool {
	for i, c := range []byte(strings.TrimSuffix(text, "$")) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.' && c != '-') {
			return false
		}
	}
	return text != "$"
}

// acl reads "user:bob:rwx,default:group::r-x".
func (p params) acl(op string) (list []namespace.ACLEntry, err error) {
	text := p.get("aclspec")
	if text == "" {
		return nil, missing("aclspec", op)
	}
	bad := invalid("aclspec", "Invalid value: \"%s\" does not belong to the domain %s", text, aclDomain)
	kinds := map[string]namespace.ACLKind{"user": namespace.ACLUser, "group": namespace.ACLGroup,
		"mask": namespace.ACLMask, "other": namespace.ACLOther}
	for spec := range strings.SplitSeq(text, ",") {
		var e namespace.ACLEntry
		if spec, e.Default = strings.CutPrefix(spec, "default:"); strings.Count(spec, ":") != 2 {
			return nil, bad
		}
		part := strings.Split(spec, ":")
		kind, ok := kinds[part[0]]
		if !ok {
			return nil, bad
		}
		e.Kind, e.Name = kind, part[1]
		if part[2] != "" {
			if e.Access, ok = namespace.ParseAccess(part[2]); !ok {
				return nil, bad
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// absolute reads a parameter that is an absolute path.
func (p params) absolute(name, op string) (string, error) {
	text := p.get(name)
	if text == "" {
		return "", missing(name, op)
	}
	if text[0] != '/' {
		return "", invalid(name, "Invalid parameter value: %s = \"%s\" is not an absolute path.", name, text)
	}
	return clean(text), namespace.CheckPath(clean(text))
}

// clean is short for what every path of a request needs.
func clean(path string) string { return namespace.Clean(path) }
