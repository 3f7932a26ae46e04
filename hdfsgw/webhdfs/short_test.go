package webhdfs

import "testing"

func TestShort(t *testing.T) {
	for target, want := range map[string]bool{
		"/webhdfs/v1/a?op=MKDIRS":                                      true,
		"/webhdfs/v1/?user.name=root&OP=getFileStatus":                 true,
		"/webhdfs/v1/a?op=OPEN":                                        true,
		"/webhdfs/v1/a?op=OPEN&namenoderpcaddress=h:1":                 false,
		"/webhdfs/v1/a?NameNodeRPCAddress=h:1&op=OPEN":                 false,
		"/webhdfs/v1/a?op=OPEN&namenoderpcaddres%73=h:1":               false,
		"/webhdfs/v1/a?op=GETCONTENTSUMMARY":                           false,
		"/webhdfs/v1/a?op=FSCK&op=OPEN":                                false,
		"/webhdfs/v1/a?%6Fp=OPEN":                                      false,
		"/webhdfs/v1/a":                                                false,
		"/other/a?op=OPEN":                                             false,
		"/webhdfs/v1?op=LISTSTATUS":                                    false,
		"/webhdfs/v1/a%20b?op=RENAME&destination=/c%3Fop=FSCK":         true,
		"/webhdfs/v1/namenoderpcaddress?op=DELETE&recursive=true&a&=b": true,
	} {
		if got := Short(target); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
}
