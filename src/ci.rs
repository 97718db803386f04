//! Continuous integration, recognised by its environment: which variable gives it away.
//!
//! Nobody sits at such a machine, so nobody could have agreed, and its runs would drown the people's.
//! The variables are those of ci-info 4.5.0 (npm), 55 vendors and 9 names that many of them share.
//! Two habits of ci-info are kept on purpose: an empty value counts as absent (JavaScript's `!!''` is
//! false), and `CI=false`, in exactly this spelling, turns the whole detection off.

use std::collections::BTreeMap;

/// What a vendor's machines have in their environment.
enum Sign {
    /// The variable is there, and not empty.
    Set(&'static str),
    /// All of these are there, and not empty; the first is named as the one that decided.
    All(&'static [&'static str]),
    /// The variable has exactly this value.
    Is(&'static str, &'static str),
    /// The variable's value holds this text.
    Holds(&'static str, &'static str),
}

use Sign::{All, Holds, Is, Set};

/// The vendors come first, so that the telling variable is named and not just `CI`.
const VENDORS: &[Sign] = &[
    Set("AGOLA_GIT_REF"),
    Set("ALPIC_HOST"),
    Set("AC_APPCIRCLE"),
    Set("APPVEYOR"),
    Set("CODEBUILD_BUILD_ARN"), // AWS CodeBuild
    Set("TF_BUILD"),            // Azure Pipelines
    Set("bamboo_planKey"),
    Set("BITBUCKET_COMMIT"),
    Set("BITRISE_IO"),
    Set("BUDDY_WORKSPACE_ID"),
    Set("BUILDKITE"),
    Set("CAPAWESOME_CLOUD"),
    Set("CIRCLECI"),
    Set("CIRRUS_CI"),
    Set("CF_PAGES"),    // Cloudflare Pages
    Set("WORKERS_CI"),  // Cloudflare Workers
    Set("CF_BUILD_ID"), // Codefresh
    Set("CM_BUILD_ID"), // Codemagic
    Is("CI_NAME", "codeship"),
    Set("DRONE"),
    Set("DSARI"),
    Set("EARTHLY_CI"),
    Set("EAS_BUILD"), // Expo
    Set("GERRIT_PROJECT"),
    Set("GITEA_ACTIONS"),
    Set("GITHUB_ACTIONS"),
    Set("GITLAB_CI"),
    Set("GO_PIPELINE_LABEL"), // GoCD
    Set("BUILDER_OUTPUT"),    // Google Cloud Build
    Set("HARNESS_BUILD_ID"),
    Holds("NODE", "/app/.heroku/node/bin/node"),
    Set("HUDSON_URL"),
    All(&["JENKINS_URL", "BUILD_ID"]),
    Set("LAYERCI"),
    Set("MAGNUM"),
    Set("NETLIFY"),
    Set("NEVERCODE"),
    Set("PROW_JOB_ID"),
    Set("RELEASE_BUILD_ID"), // ReleaseHub
    Set("RENDER"),
    Set("RWX"),
    Set("SAILCI"),
    Set("SCREWDRIVER"),
    Set("SEMAPHORE"),
    Is("CI_NAME", "sourcehut"),
    Set("STRIDER"),
    All(&["TASK_ID", "RUN_ID"]), // TaskCluster
    Set("TEAMCITY_VERSION"),
    Set("TRAVIS"),
    Set("VELA"),
    Set("NOW_BUILDER"), // Vercel: this one or the next
    Set("VERCEL"),
    Set("APPCENTER_BUILD_ID"),
    Is("CI", "woodpecker"),
    Set("CI_XCODE_PROJECT"), // Xcode Cloud
    Set("XCS"),              // Xcode Server
];

/// Names that several vendors share, ci-info's last resort. A few (`BUILD_ID`, `RUN_ID`) also occur on
/// some people's machines: then nothing is sent, which is the harmless mistake, and `CI=false` helps.
const SHARED: &[Sign] = &[
    Set("BUILD_ID"),
    Set("BUILD_NUMBER"),
    Set("CI"),
    Set("CI_APP_ID"),
    Set("CI_BUILD_ID"),
    Set("CI_BUILD_NUMBER"),
    Set("CI_NAME"),
    Set("CONTINUOUS_INTEGRATION"),
    Set("RUN_ID"),
];

/// The variable that says this is a CI machine, or `None` where it looks like a person's.
pub fn detected(env: &BTreeMap<String, String>) -> Option<&'static str> {
    if env.get("CI").is_some_and(|value| value == "false") {
        return None;
    }
    VENDORS
        .iter()
        .chain(SHARED)
        .find_map(|sign| sign.seen_in(env))
}

impl Sign {
    fn seen_in(&self, env: &BTreeMap<String, String>) -> Option<&'static str> {
        let value = |name: &str| env.get(name).map_or("", String::as_str);
        match *self {
            Set(name) => (!value(name).is_empty()).then_some(name),
            All(names) => {
                let first = *names.first()?;
                names
                    .iter()
                    .all(|name| !value(name).is_empty())
                    .then_some(first)
            }
            Is(name, wanted) => (value(name) == wanted).then_some(name),
            Holds(name, part) => value(name).contains(part).then_some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], expected: Option<&str>) {
        let env = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(detected(&env), expected, "{pairs:?}");
    }

    #[test]
    fn a_person_s_environment_is_not_ci() {
        check(&[], None);
        check(
            &[
                ("HOME", "/home/a"),
                ("TERM", "xterm"),
                ("NODE", "/usr/bin/node"),
            ],
            None,
        );
    }

    #[test]
    fn every_sign_of_the_table_is_enough_by_itself() {
        for sign in VENDORS.iter().chain(SHARED) {
            match *sign {
                Set(name) => check(&[(name, "x")], Some(name)),
                Is(name, value) => check(&[(name, value)], Some(name)),
                Holds(name, part) => check(&[(name, &format!("a{part}b"))], Some(name)),
                All(names) => {
                    let pairs: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
                    check(&pairs, Some(names[0]));
                }
            }
        }
    }

    #[test]
    fn the_table_has_all_vendors_and_no_sign_twice() {
        // Vercel's two alternatives are two rows here, hence one more than ci-info's 55.
        assert_eq!((VENDORS.len(), SHARED.len()), (56, 9));
        let mut rows: Vec<String> = VENDORS
            .iter()
            .chain(SHARED)
            .map(|sign| match *sign {
                Set(name) => name.to_owned(),
                All(names) => names.join("+"),
                Is(name, value) | Holds(name, value) => format!("{name}={value}"),
            })
            .collect();
        rows.sort_unstable();
        let count = rows.len();
        rows.dedup();
        assert_eq!(rows.len(), count);
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        check(&[("CI", "")], None);
        check(&[("GITHUB_ACTIONS", ""), ("TRAVIS", "")], None);
        check(&[("JENKINS_URL", "http://j"), ("BUILD_ID", "")], None);
    }

    #[test]
    fn a_pair_needs_both_of_its_variables() {
        check(&[("JENKINS_URL", "http://j")], None);
        check(&[("TASK_ID", "1")], None);
        check(
            &[("JENKINS_URL", "http://j"), ("BUILD_ID", "1")],
            Some("JENKINS_URL"),
        );
        check(&[("TASK_ID", "1"), ("RUN_ID", "0")], Some("TASK_ID"));
    }

    #[test]
    fn ci_false_turns_the_whole_detection_off() {
        check(&[("CI", "false")], None);
        check(
            &[
                ("CI", "false"),
                ("GITHUB_ACTIONS", "true"),
                ("BUILD_ID", "7"),
            ],
            None,
        );
    }

    #[test]
    fn any_other_spelling_of_ci_counts_as_ci_as_it_does_upstream() {
        for value in ["true", "1", "0", "FALSE", "False", " false", "no"] {
            check(&[("CI", value)], Some("CI"));
        }
    }

    #[test]
    fn the_vendor_s_variable_is_named_rather_than_the_shared_one() {
        check(
            &[("CI", "true"), ("GITHUB_ACTIONS", "true")],
            Some("GITHUB_ACTIONS"),
        );
        check(&[("CI_NAME", "somebody")], Some("CI_NAME"));
    }

    #[test]
    fn names_are_compared_with_their_case() {
        check(&[("ci", "true"), ("BAMBOO_PLANKEY", "x")], None);
        check(&[("bamboo_planKey", "x")], Some("bamboo_planKey"));
    }
}
