package namespace

// What a NameNode says that has no erasure coding policy enabled, no storage policy satisfier and no quotas of storage
// types: a block is one object of the store, of which nobody knows where it lies.

// SetECPolicy refuses: there is no policy.
func SetECPolicy(policy string) error {
	return Refuse(HadoopIllegalArgument, "Policy '%s' does not match any enabled erasure coding policies: []. An erasure"+
		" coding policy can be enabled by enableErasureCodingPolicy API.", policy)
}

// TurnECPolicy refuses to enable, disable or remove a policy that does not exist.
func TurnECPolicy(policy string) error {
	return Refuse(HadoopIllegalArgument, "The policy name %s does not exist", policy)
}

// UnsetECPolicy refuses: nothing has a policy.
func (t *Tree) UnsetECPolicy(who Caller, path string) error {
	s, err := t.Status(who, path)
	switch {
	case isOf(err, FileNotFound):
		return Refuse(FileNotFound, "Path not found: %s", path)
	case err != nil:
		return err
	case !s.Dir:
		return Refuse(IOException, "Cannot unset an erasure coding policy on a file %s", path)
	}
	return Refuse(NoECPolicySet, "No erasure coding policy explicitly set on %s", path)
}

// SatisfyPolicy refuses: storage policies are names only.
func SatisfyPolicy() error {
	return Refuse(UnsupportedAction, "Cannot request to satisfy storage policy when storage policy satisfier feature has"+
		" been disabled by admin. Seek for an admin help to enable it or use Mover tool.")
}

// SetTypeQuota refuses: the store has no storage types.
func SetTypeQuota() error {
	return Refuse(UnsupportedAction, "Failed to set quota by storage type because either"+
		" dfs.storage.policy.enabled or dfs.quota.by.storage.type.enabled is set to false.")
}
