//! Which policy governs which entry of a source.

use super::Policy;
use crate::source::IgnorePolicy;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The policies of a source and of paths below it, by relative path. Clones are cheap and share everything.
///
/// The root holds the merged policy. **Nodes below hold the raw policy of their path**, nothing inherited: so does
/// Kopia, and what it leaves unset there falls back to fixed values, not to the source's policy.
///
/// Source: kopia `snapshot/policy/policy_tree.go` (`Tree`).
#[derive(Debug, Clone)]
pub struct PolicyTree {
    node: Arc<Node>,
}

#[derive(Debug)]
struct Node {
    policy: Arc<Policy>,
    defined: bool,
    children: BTreeMap<String, PolicyTree>,
    /// What entries without a policy of their own get; made once, because every file asks.
    heir: OnceLock<PolicyTree>,
}

impl PolicyTree {
    /// A tree of the effective policy of a source and the policies of paths below it.
    pub fn new(effective: Policy, nested: impl IntoIterator<Item = (String, Policy)>) -> Self {
        let nested: Vec<(String, Arc<Policy>)> =
            nested.into_iter().map(|(path, policy)| (path, Arc::new(policy))).collect();
        let nested: Vec<_> = nested.iter().map(|(path, policy)| (path.as_str(), policy)).collect();
        Self::build(Arc::new(effective), true, nested)
    }

    /// A tree without any defined policy: built-in values everywhere.
    pub fn built_in() -> Self {
        Self::build(Arc::new(Policy::built_in()), false, Vec::new())
    }

    fn build(policy: Arc<Policy>, defined: bool, nested: Vec<(&str, &Arc<Policy>)>) -> Self {
        let mut by_child: BTreeMap<&str, Vec<(&str, &Arc<Policy>)>> = BTreeMap::new();
        for (path, nested) in nested {
            let (child, rest) = path.split_once('/').unwrap_or((path, ""));
            by_child.entry(child).or_default().push((rest, nested));
        }
        let children = by_child.into_iter().map(|(name, mut below)| {
            // Of several policies for one path the last counts, as in Kopia's map.
            let own =
                below.iter().rev().find(|(rest, _)| rest.is_empty()).map(|(_, policy)| Arc::clone(policy));
            below.retain(|(rest, _)| !rest.is_empty());
            let defined = own.is_some();
            let policy = own.unwrap_or_else(|| Arc::clone(&policy));
            (name.to_owned(), Self::build(policy, defined, below))
        });
        let children = children.collect();
        Self { node: Arc::new(Node { policy, defined, children, heir: OnceLock::new() }) }
    }

    /// The node of an entry below; `name` may be a path, `.` and empty parts stay.
    pub fn child(&self, name: &str) -> &Self {
        name.split('/').filter(|part| !matches!(*part, "" | ".")).fold(self, Self::step)
    }

    fn step<'a>(&'a self, name: &str) -> &'a Self {
        if let Some(child) = self.node.children.get(name) {
            return child;
        }
        if self.node.children.is_empty() && !self.node.defined {
            return self;
        }
        self.node.heir.get_or_init(|| Self::build(Arc::clone(&self.node.policy), false, Vec::new()))
    }

    /// The policy that governs this node, its own or the nearest above.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.node.policy
    }

    /// Whether the policy is the node's own.
    pub fn is_defined(&self) -> bool {
        self.node.defined
    }

    /// The policies in force here and below, each once.
    pub fn policies(&self) -> Vec<&Policy> {
        let below = self.node.children.values().flat_map(|child| {
            let mut policies = child.policies();
            // A child without a policy of its own begins with this node's.
            policies.drain(..usize::from(!child.node.defined));
            policies
        });
        std::iter::once(&*self.node.policy).chain(below).collect()
    }

    /// What the node's own policy, if it has one, says of the files to leave out.
    pub fn ignore_policy(&self) -> Option<IgnorePolicy> {
        self.node.defined.then(|| self.node.policy.ignore_policy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(latest: i64) -> Policy {
        let mut policy = Policy::default();
        policy.retention.keep_latest = Some(latest);
        policy
    }

    #[test]
    fn nodes_hold_raw_policies_and_pass_them_down() {
        let nested = [("a/b".to_owned(), keeping(2)), ("a/b/c/d".to_owned(), keeping(3))];
        let tree = PolicyTree::new(keeping(1), nested);
        for (path, latest, defined) in [
            ("", 1, true),
            (".", 1, true),
            ("x", 1, false),
            ("x/y", 1, false),
            ("a", 1, false),
            ("a/x", 1, false),
            ("a/b", 2, true),
            ("./a//b", 2, true),
            ("a/b/x", 2, false),
            ("a/b/c", 2, false),
            ("a/b/c/d", 3, true),
            ("a/b/c/d/e/f", 3, false),
            ("a/b/c/x", 2, false),
        ] {
            let node = tree.child(path);
            let stepped = path.split('/').fold(&tree, |node, name| node.child(name));
            for node in [node, stepped] {
                assert_eq!(node.policy().retention.keep_latest, Some(latest), "{path}");
                assert_eq!(node.is_defined(), defined, "{path}");
                assert_eq!(node.ignore_policy().is_some(), defined, "{path}");
            }
        }
        let latest = |policy: &&Policy| policy.retention.keep_latest.unwrap();
        assert_eq!(tree.policies().iter().map(latest).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!PolicyTree::built_in().is_defined());
    }
}
