package webhdfs

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// hadoopOperations are those of Hadoop 3.4's WebHDFS.
var hadoopOperations = map[string]string{
	"GET": "OPEN GETFILESTATUS LISTSTATUS LISTSTATUS_BATCH GETCONTENTSUMMARY GETQUOTAUSAGE GETFILECHECKSUM" +
		" GETHOMEDIRECTORY GETDELEGATIONTOKEN GET_BLOCK_LOCATIONS GETFILEBLOCKLOCATIONS GETACLSTATUS GETXATTRS LISTXATTRS" +
		" GETTRASHROOT GETTRASHROOTS GETALLSTORAGEPOLICY GETSTORAGEPOLICY GETECPOLICY GETECPOLICIES GETECCODECS" +
		" GETSNAPSHOTDIFF GETSNAPSHOTDIFFLISTING GETSNAPSHOTTABLEDIRECTORYLIST GETSNAPSHOTLIST GETSERVERDEFAULTS" +
		" CHECKACCESS GETLINKTARGET GETFILELINKSTATUS GETSTATUS",
	"PUT": "CREATE MKDIRS CREATESYMLINK RENAME SETREPLICATION SETOWNER SETPERMISSION SETTIMES RENEWDELEGATIONTOKEN" +
		" CANCELDELEGATIONTOKEN MODIFYACLENTRIES REMOVEACLENTRIES REMOVEDEFAULTACL REMOVEACL SETACL SETXATTR REMOVEXATTR" +
		" ENABLEECPOLICY DISABLEECPOLICY SETECPOLICY ALLOWSNAPSHOT DISALLOWSNAPSHOT CREATESNAPSHOT RENAMESNAPSHOT" +
		" SETSTORAGEPOLICY SATISFYSTORAGEPOLICY SETQUOTA SETQUOTABYSTORAGETYPE",
	"POST":   "APPEND CONCAT TRUNCATE UNSETSTORAGEPOLICY UNSETECPOLICY",
	"DELETE": "DELETE DELETESNAPSHOT",
}

// TestEveryOperation sends each operation of Hadoop's, in an order in which what it needs is there, with small letters
// here and there, and with parameters left out where they have defaults. What is lacking is refused by the right class.
func TestEveryOperation(t *testing.T) {
	s := newServer(t, Options{BlockSize: 1 << 20, Replication: 2})
	asked := map[string]bool{}
	for _, c := range []struct {
		method, path, query string
		status              int
		want                string // a part of the answer
	}{
		{"PUT", "/d/sub", "mkdirs", 200, `{"boolean":true}`},
		{"GET", "/d/sub", "GETFILESTATUS", 200, `"permission":"755"`},
		{"PUT", "/d/p", "MKDIRS&PERMISSION=1777", 200, `{"boolean":true}`},
		{"GET", "/d/p", "GETFILELINKSTATUS", 200, `"permission":"1777"`},
		{"PUT", "/d/f", "CREATE", 201, ""},
		{"PUT", "/d/f", "CREATE", 403, "FileAlreadyExistsException"}, // overwrite is false
		{"PUT", "/no/f", "CREATE&createparent=false", 404, "FileNotFoundException"},
		{"GET", "/d/f", "GETFILESTATUS", 200, `"blockSize":1048576`},
		{"GET", "/d/f", "GETFILESTATUS", 200, `"permission":"644"`},
		{"GET", "/d/f", "GETFILESTATUS", 200, `"replication":2`},
		{"PUT", "/d/g", "CREATE&permission=600&replication=3&blocksize=4096&overwrite=true", 201, ""},
		{"GET", "/d/g", "GETFILESTATUS", 200, `"blockSize":4096`},
		{"POST", "/d/f", "append", 200, ""},
		{"GET", "/d/f", "OPEN", 200, "bytesbytes"},
		{"GET", "/d/f", "OPEN&offset=3&length=4", 200, "esby"},
		{"GET", "/d/f", "OPEN&offset=8&length=100", 200, "es"}, // more than there is
		{"GET", "/d/f", "OPEN&offset=10", 403, "out of the range"},
		{"GET", "/d", "LISTSTATUS", 200, `"pathSuffix":"g"`},
		{"GET", "/d", "LISTSTATUS_BATCH&startafter=f", 200, `"remainingEntries":0`},
		{"GET", "/d", "GETCONTENTSUMMARY", 200, `"directoryCount":3`},
		{"GET", "/d", "GETQUOTAUSAGE", 200, `"quota":-1`},
		{"GET", "/d/f", "GETFILECHECKSUM", 200, "512CRC32C"},
		{"GET", "/d/f", "GETFILECHECKSUM&combine=composite_crc", 200, `"COMPOSITE-CRC32C","bytes":"83bea331"`},
		{"GET", "/d/f", "GETFILECHECKSUM&combine=NO", 400, "IllegalArgumentException"},
		{"GET", "/", "GETHOMEDIRECTORY", 200, `"/user/root"`},
		{"GET", "/", "GETDELEGATIONTOKEN", 200, `{"Token":null}`},
		{"PUT", "/", "RENEWDELEGATIONTOKEN", 400, "Required param token"},
		{"PUT", "/", "CANCELDELEGATIONTOKEN&token=AAAA", 403, "InvalidToken"},
		{"GET", "/d/f", "GET_BLOCK_LOCATIONS", 200, `"fileLength":10`},
		{"GET", "/d/f", "GETFILEBLOCKLOCATIONS&offset=6&length=1", 200, `"offset":5`},
		{"PUT", "/d/f", "MODIFYACLENTRIES&aclspec=user:bob:r-x", 200, ""},
		{"GET", "/d/f", "GETACLSTATUS", 200, `"user:bob:r-x"`},
		{"PUT", "/d/f", "REMOVEACLENTRIES&aclspec=user:bob:", 200, ""},
		{"PUT", "/d", "SETACL&aclspec=user::rwx,group::r-x,other::r-x,default:user:bob:r--", 200, ""},
		{"PUT", "/d", "REMOVEDEFAULTACL", 200, ""},
		{"PUT", "/d", "REMOVEACL", 200, ""},
		{"GET", "/d", "GETACLSTATUS", 200, `"entries":[]`},
		{"PUT", "/d/f", "SETXATTR&xattr.name=user.a&xattr.value=0x41&flag=CREATE", 200, ""},
		{"GET", "/d/f", "GETXATTRS&xattr.name=user.a&encoding=text", 200, `"\"A\""`},
		{"GET", "/d/f", "LISTXATTRS", 200, `user.a`},
		{"PUT", "/d/f", "REMOVEXATTR&xattr.name=user.a", 200, ""},
		{"GET", "/d", "GETTRASHROOT", 200, "/user/root/.Trash"},
		{"GET", "/", "GETTRASHROOTS&allusers=true", 200, `"Paths":[]`},
		{"GET", "/", "GETALLSTORAGEPOLICY", 200, `"HOT"`},
		{"PUT", "/d/f", "SETSTORAGEPOLICY&storagepolicy=COLD", 200, ""},
		{"GET", "/d/f", "GETSTORAGEPOLICY", 200, `"COLD"`},
		{"POST", "/d/f", "UNSETSTORAGEPOLICY", 200, ""},
		{"PUT", "/d/f", "SATISFYSTORAGEPOLICY", 403, "UnsupportedActionException"},
		{"GET", "/d", "GETECPOLICY", 200, "null"},
		{"GET", "/", "GETECPOLICIES", 200, "ErasureCodingPolicies"},
		{"GET", "/", "GETECCODECS", 200, "ErasureCodingCodecs"},
		{"PUT", "/d", "SETECPOLICY", 400, "Required param ecpolicy for op: SETECPOLICY is null or empty"},
		{"PUT", "/d", "SETECPOLICY&ecpolicy=XOR", 400, "HadoopIllegalArgumentException"},
		{"POST", "/d", "UNSETECPOLICY", 403, "NoECPolicySetException"},
		{"POST", "/d/f", "UNSETECPOLICY", 403, "Cannot unset an erasure coding policy on a file /d/f"},
		{"POST", "/no", "UNSETECPOLICY", 404, "Path not found: /no"},
		{"PUT", "/", "ENABLEECPOLICY&ecpolicy=XOR", 400, "The policy name XOR does not exist"},
		{"PUT", "/", "DISABLEECPOLICY&ecpolicy=XOR", 400, "The policy name XOR does not exist"},
		{"PUT", "/d", "ALLOWSNAPSHOT", 200, ""},
		{"PUT", "/d", "CREATESNAPSHOT&snapshotname=s1", 200, `"/d/.snapshot/s1"`},
		{"PUT", "/d/g", "RENAME&destination=/d/h", 200, `{"boolean":true}`},
		{"PUT", "/d/h", "RENAME&destination=/d/g2&renameoptions=OVERWRITE", 200, ""},
		{"PUT", "/d", "CREATESNAPSHOT", 200, `"/d/.snapshot/s`}, // has a name of its own
		{"PUT", "/d", "RENAMESNAPSHOT&oldsnapshotname=s1&snapshotname=s0", 200, ""},
		{"GET", "/d", "GETSNAPSHOTDIFF&oldsnapshotname=s0", 200, `"targetPath":"g2"`},
		{"GET", "/d", "GETSNAPSHOTDIFFLISTING&oldsnapshotname=s0", 200,
			`"isReference":true,"sourcePath":"g","targetPath":"g2"`},
		{"GET", "/d", "GETSNAPSHOTDIFFLISTING&oldsnapshotname=s0&snapshotdiffindex=2", 200, `"createList":[]`},
		{"GET", "/d", "GETSNAPSHOTDIFFLISTING&oldsnapshotname=s0&snapshotdiffindex=x", 400, "IllegalArgumentException"},
		{"GET", "/", "GETSNAPSHOTTABLEDIRECTORYLIST", 200, `"parentFullPath":"/"`},
		{"GET", "/d", "GETSNAPSHOTLIST", 200, `/d/.snapshot/s0`},
		{"DELETE", "/d", "DELETESNAPSHOT&snapshotname=s0", 200, ""},
		{"PUT", "/d", "DISALLOWSNAPSHOT", 403, "has snapshot(s)"},
		{"GET", "/", "GETSERVERDEFAULTS", 200, `"blockSize":1048576`},
		{"GET", "/d/f", "CHECKACCESS&fsaction=r--", 200, ""},
		{"GET", "/d/f", "GETLINKTARGET", 403, "is not a symbolic link"},
		{"PUT", "/d/l", "CREATESYMLINK&destination=/d/f", 400, "UnsupportedOperationException"},
		{"GET", "/", "GETSTATUS", 200, `"capacity"`},
		{"PUT", "/d/f", "SETREPLICATION&replication=5", 200, `{"boolean":true}`},
		{"PUT", "/d", "SETREPLICATION&replication=5", 200, `{"boolean":false}`},
		{"PUT", "/d/f", "SETOWNER&owner=bob", 200, ""},
		{"PUT", "/d/f", "SETPERMISSION&permission=640", 200, ""},
		{"PUT", "/d/f", "SETTIMES&modificationtime=1000", 200, ""},
		{"GET", "/d/f", "GETFILESTATUS", 200, `"modificationTime":1000,"owner":"bob","pathSuffix":"","permission":"640"`},
		{"PUT", "/d", "SETQUOTA&namespacequota=9", 200, ""},
		{"PUT", "/d", "SETQUOTABYSTORAGETYPE&storagespacequota=1", 400, "Required param storagetype"},
		{"PUT", "/d", "SETQUOTABYSTORAGETYPE&storagetype=SSD&storagespacequota=1", 403, "UnsupportedActionException"},
		{"POST", "/d/f", "TRUNCATE&newlength=4", 200, `{"boolean":true}`},
		{"POST", "/d/f", "CONCAT&sources=/d/g2", 200, ""},
		{"GET", "/d/f", "OPEN", 200, "bytebytes"},
		{"DELETE", "/d", "DELETE", 403, "PathIsNotEmptyDirectoryException"}, // recursive is false
		{"DELETE", "/d/f", "DELETE&recursive=true", 200, `{"boolean":true}`},
		{"GET", "/d", "NOSUCH", 400, `Invalid value for webhdfs parameter \"op\": NOSUCH is not a valid GET operation.`},
	} {
		op, _, _ := strings.Cut(strings.ToUpper(c.query), "&")
		asked[c.method+" "+op] = true
		status, body := http.StatusOK, ""
		if op == "CREATE" || op == "APPEND" {
			status, body = send(t, s, c.method, prefix+c.path+"?user.name=root&OP="+c.query, strings.NewReader("bytes"))
		} else {
			status, body = send(t, s, c.method, prefix+c.path+"?user.name=root&op="+c.query, nil)
		}
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.query, status, body)
		}
	}
	known := operations()
	for method, list := range hadoopOperations {
		for op := range strings.FieldsSeq(list) {
			if name := method + " " + op; !asked[name] || known[name] == nil {
				t.Errorf("%s: asked %v, known %v", name, asked[name], known[name] != nil)
			}
			delete(known, method+" "+op)
		}
	}
	ours := []string{"GET FSCK", "GET LOCATEOBJECTS", "POST ALLOTBLOCKS", "POST COMMITJOB", "PUT CREATEOFBLOCKS"}
	if rest := slices.Sorted(maps.Keys(known)); !slices.Equal(rest, ours) {
		t.Errorf("of whom are %q?", rest)
	}
}
