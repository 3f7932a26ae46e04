package webhdfs

import "strings"

// Short reports whether a request's target, as it was sent, asks for something whose answer is short and comes soon: the
// operations that clients send most, none of which walks a tree, and of them the name node's part.
func Short(target string) bool {
	path, query, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, prefix+"/") {
		return false
	}
	short := false
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case strings.Contains(key, "%"), strings.EqualFold(key, dataPart):
			return false
		case strings.EqualFold(key, "op"):
			switch strings.ToUpper(value) {
			case "GETFILESTATUS", "MKDIRS", "RENAME", "LISTSTATUS", "CREATE", "OPEN", "DELETE", "SETPERMISSION":
				short = true
			default:
				return false
			}
		}
	}
	return short
}
