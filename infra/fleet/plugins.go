package fleet

// longestSocket is how long the path of a socket may be, in bytes; see unix(7).
const longestSocket = 107

// PluginEnv tells Terraform and Nomad, as NAME=VALUE, to have the sockets of their plugins in a folder: a plugin that is
// killed leaves its socket, and it goes with the folder. It is empty if the folder's path is too long for that, and
// sockets are among the temporary files.
func PluginEnv(dir string) []string {
	if len(dir+"/plugin4294967295") > longestSocket { // as go-plugin names them
		return nil
	}
	return []string{"PLUGIN_UNIX_SOCKET_DIR=" + dir}
}
