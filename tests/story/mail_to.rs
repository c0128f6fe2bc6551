//! A repository's own recipients: `mail_to` of `.orchestrator/config.yaml`.

use orchestrator::simulator::github::{Effect, Fault};
use orchestrator::simulator::surroundings::{MAINTAINER, REPOSITORY};

use crate::scene::{Play, Scene, wait};

const POLICY: &str = ".orchestrator/config.yaml";
const OURS: &str = "gates: [{ name: check, run: sh check.sh }]\nmail_to: [maintainers@evenly.example]\n";

fn recipients(scene: &Scene) -> Vec<String> {
    scene.around.inbox.messages().into_iter().flat_map(|mail| mail.to).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tasks_mails_go_to_whom_its_repository_named_in_the_tasks_base() {
    let scene = Scene::play(Play::greeting().with_file(POLICY, OURS)).await;
    let (issue, pull) = scene.pull_request().await;
    assert_eq!(recipients(&scene), ["maintainers@evenly.example"; 2], "the plan and the pull request");

    // The rules of later commits are for later tasks.
    let later = OURS.replace("maintainers", "others");
    let admin = scene.around.github.admin();
    admin.push_file(MAINTAINER, REPOSITORY, "main", POLICY, &later).expect("pushed");
    scene.comment(MAINTAINER, pull, "/orchestrate fix say it louder, please").await;
    scene.answer(pull, "on top of this pull request (follow-up round 1)").await;
    scene.idle(issue).await;
    assert_eq!(recipients(&scene), ["maintainers@evenly.example"; 3]);
    scene.planned_issue().await;
    let last = wait("its mail", || async { recipients(&scene).get(3).cloned() }).await;
    assert_eq!(last, "others@evenly.example");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_names_nobody_gets_no_mail() {
    let nobody = "gates: [{ name: check, run: sh check.sh }]\nmail_to: []\n";
    let scene = Scene::play(Play::greeting().with_file(POLICY, nobody)).await;
    scene.pull_request().await;
    assert_eq!(scene.mails(), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_repositorys_rules_cannot_be_read_the_deployments_recipients_are_told() {
    let scene = Scene::play(Play::greeting().with_file(POLICY, "mail_too: [a@evenly.example]\n")).await;
    let issue = scene.labelled_issue().await;
    scene.until(issue, "needs_person").await;
    scene.idle(issue).await;
    assert_eq!(recipients(&scene), ["ada@acme.example"], "a rule that is no rule");
    scene.finish().await;

    let scene = Scene::play(Play::greeting().with_file(POLICY, OURS)).await;
    let gone = Effect::Refuse { status: 403, retry_after_seconds: None };
    scene.fault(Fault::on_request("GET", "^/repos/acme/evenly$", gone).forever());
    let issue = scene.labelled_issue().await;
    scene.until(issue, "needs_person").await;
    scene.idle(issue).await;
    assert_eq!(recipients(&scene), ["ada@acme.example"], "a repository out of reach");
    scene.finish().await;
}
