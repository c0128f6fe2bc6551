//! The hook that refuses what GitHub refuses at a push.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

/// An App may not change workflows without the permission of that name.
/// Source: docs.github.com/en/rest/authentication/permissions-required-for-github-apps
/// #repository-permissions-for-workflows.
const UPDATE: &str = r#"#!/bin/sh
# Runs in the simulator's own bare repositories, once for each ref of a push.
[ "$SIMULATOR_WORKFLOWS" = refused ] || exit 0
name=$1 old=$2 new=$3
case $new in *[!0]*) ;; *) exit 0 ;; esac
case $old in
  *[!0]*) base=$old ;;
  *) base=$(git merge-base HEAD "$new" 2>/dev/null) || base=$(git hash-object -t tree /dev/null) ;;
esac
changed=$(git diff-tree -r --name-only "$base" "$new" -- .github/workflows | head -n 1)
[ -z "$changed" ] && exit 0
echo "refusing to allow a GitHub App to create or update workflow \`$changed\` without \`workflows\` permission" >&2
exit 1
"#;

pub(super) fn install(bare: &Path) -> anyhow::Result<()> {
    let hooks = bare.join("hooks");
    std::fs::create_dir_all(&hooks).with_context(|| format!("{} cannot be made", hooks.display()))?;
    let path = hooks.join("update");
    std::fs::write(&path, UPDATE).with_context(|| format!("{} cannot be written", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
