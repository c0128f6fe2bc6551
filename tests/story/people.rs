//! Whose word counts: approvals by reaction, and the commands of `/orchestrate`.

use orchestrator::domain::State;
use orchestrator::simulator::github::{AccountKind, Effect, Fault, RequestRecord, Role};
use orchestrator::simulator::model::Answer;
use orchestrator::simulator::surroundings::{MAINTAINER, READER, REPOSITORY, STRANGER, token};
use serde_json::{Value, json};

use crate::scene::{Play, Scene, wait};

/// The plan waits as before, and nothing was said about it.
async fn nothing_started(scene: &Scene, issue: u64) {
    scene.polled().await;
    scene.idle(issue).await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    assert_eq!(scene.around.bot_comments(issue).await.expect("comments").len(), 1, "the plan alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_of_somebody_who_may_not_write_starts_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    let admin = scene.around.github.admin();
    let (issue, plan) = scene.planned_issue().await;
    scene.react(READER, plan, "+1").await;
    scene.react(STRANGER, plan, "+1").await;
    scene.add_person("grace", 1_010);
    admin.set_permission("grace", REPOSITORY, Role::Triage).expect("a seat");
    scene.react("grace", plan, "+1").await;
    scene.add_person("linus", 1_011);
    admin.set_permission("linus", REPOSITORY, Role::Write).expect("a seat");
    scene.react("linus", plan, "heart").await;
    nothing_started(&scene, issue).await;

    scene.react("linus", plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.answer(issue, "Approved by `linus`").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_of_somebody_whose_seat_was_taken_starts_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    scene.around.github.admin().set_permission(MAINTAINER, REPOSITORY, Role::None).expect("removed");
    scene.react(MAINTAINER, plan, "+1").await;
    nothing_started(&scene, issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_of_the_bot_itself_or_of_another_app_starts_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    // Ours, with the deployment's own token.
    let path = "/app/installations/{installation_id}/access_tokens";
    let tokens = scene.around.github.journal().requests_to("POST", path);
    let ours = tokens.last().and_then(|record| record.answer["token"].as_str()).expect("a token").to_owned();
    let url =
        format!("{}/repos/{REPOSITORY}/issues/comments/{plan}/reactions", scene.around.github.api_url());
    let request = reqwest::Client::new().post(url).bearer_auth(ours).header("user-agent", "us");
    let answer = request.json(&json!({ "content": "+1" })).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    // Another one, with write permission.
    let (bot, id) = ("other[bot]", 1_020);
    let admin = scene.around.github.admin();
    admin.add_user(bot, id, AccountKind::Bot, &token(bot)).expect("a bot");
    admin.set_permission(bot, REPOSITORY, Role::Write).expect("a seat");
    scene.react(bot, plan, "+1").await;
    nothing_started(&scene, issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_was_given_to_somebody_else_carries_no_permission_over() {
    let scene = Scene::play(Play::greeting()).await;
    let admin = scene.around.github.admin();
    let (issue, plan) = scene.planned_issue().await;
    admin.rename_user(MAINTAINER, "lovelace").expect("renamed");
    let newcomer = "ghp_of_the_new_ada";
    admin.add_user(MAINTAINER, 1_030, AccountKind::User, newcomer).expect("the login is free");
    let url =
        format!("{}/repos/{REPOSITORY}/issues/comments/{plan}/reactions", scene.around.github.api_url());
    let request = reqwest::Client::new().post(url).bearer_auth(newcomer).header("user-agent", "ada");
    assert_eq!(request.json(&json!({ "content": "+1" })).send().await.expect("an answer").status(), 201);
    nothing_started(&scene, issue).await;
    // Her old token is hers still, and so is her permission.
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.answer(issue, "Approved by `lovelace`").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_counts_for_who_sent_it_and_not_for_who_has_the_login_now() {
    let scene = Scene::play(Play::greeting()).await;
    let admin = scene.around.github.admin();
    let (issue, _) = scene.planned_issue().await;
    scene.fault(Fault::on_delivery(r"^issue_comment", Effect::DelayDelivery { milliseconds: 1_500 }));
    scene.comment(STRANGER, issue, "/orchestrate approve").await;
    // While the delivery is on its way, somebody with write permission takes the stranger's login.
    admin.rename_user(STRANGER, "malory").expect("renamed");
    admin.add_user(STRANGER, 1_031, AccountKind::User, "ghp_of_the_new_mallory").expect("the login is free");
    admin.set_permission(STRANGER, REPOSITORY, Role::Admin).expect("a seat");
    scene.answer(issue, "GitHub did not confirm that `mallory` is one of them").await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thumb_down_of_a_maintainer_ends_the_task_and_outweighs_thumbs_up() {
    let scene = Scene::play(Play::greeting()).await;
    let admin = scene.around.github.admin();
    scene.add_person("linus", 1_011);
    admin.set_permission("linus", REPOSITORY, Role::Write).expect("a seat");
    let (issue, plan) = scene.planned_issue().await;
    scene.react(READER, plan, "-1").await;
    nothing_started(&scene, issue).await;
    // Both at once, as far as a look can tell: the poll is slower than two requests.
    let (no, yes) = (scene.react(MAINTAINER, plan, "-1"), scene.react("linus", plan, "+1"));
    no.await;
    yes.await;
    scene.until(issue, "cancelled").await;
    scene.answer(issue, "The plan was rejected by `ada`").await;
    scene.idle(issue).await;
    scene.nothing_is_published().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approve_and_reject_by_command_take_write_permission_and_are_answered() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    scene.comment(READER, issue, "/orchestrate approve").await;
    scene.answer(issue, "GitHub did not confirm that `robin` is one of them").await;
    scene.comment(STRANGER, issue, "/orchestrate reject").await;
    scene.answer(issue, "GitHub did not confirm that `mallory` is one of them").await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    scene.comment(MAINTAINER, issue, "Looks good.\n\n/orchestrate approve").await;
    scene.answer(issue, "Approved by `ada`").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;

    let (other, _) = scene.planned_issue().await;
    scene.comment(MAINTAINER, other, "/orchestrate reject").await;
    scene.until(other, "cancelled").await;
    scene.answer(other, "The plan was rejected by `ada`").await;
    assert_eq!(
        scene.around.bot_comments(issue).await.expect("comments").len(),
        4,
        "a plan and three answers"
    );
    assert_eq!(scene.around.bot_comments(other).await.expect("comments").len(), 2, "a plan and one answer");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talk_about_a_command_and_edited_comments_start_nothing() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    for talk in [
        "> /orchestrate approve\n\nSo he wrote.",
        "```\n/orchestrate approve\n```",
        "`/orchestrate approve`",
        "I would say /orchestrate approve.",
        "<!-- /orchestrate approve -->",
        "- /orchestrate approve",
        "    /orchestrate approve",
    ] {
        scene.comment(MAINTAINER, issue, talk).await;
    }
    let edited = scene.comment(MAINTAINER, issue, "Let me think.").await;
    let command = json!({ "body": "/orchestrate approve" });
    scene.person(MAINTAINER, "PATCH", &format!("/issues/comments/{edited}"), command).await;
    // A bot's comment is nobody's command, whatever it may do.
    let bot = "other[bot]";
    let admin = scene.around.github.admin();
    admin.add_user(bot, 1_020, AccountKind::Bot, &token(bot)).expect("a bot");
    admin.set_permission(bot, REPOSITORY, Role::Write).expect("a seat");
    scene.comment(bot, issue, "/orchestrate approve").await;
    scene.ingested().await;
    scene.polled().await;
    scene.idle(issue).await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    let ours = scene.around.github.admin().bot().0;
    let comments = scene.list(&format!("/issues/{issue}/comments")).await;
    let of_us = comments.iter().filter(|comment| comment["user"]["login"] == ours.as_str()).count();
    assert_eq!(of_us, 1, "the plan, and no answer to talk");
    scene.finish_altered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_command_is_answered_with_help() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    let cases = [
        ("/orchestrate dance", "`dance` is not a verb that I know"),
        ("/orchestrate", "There is no verb after `/orchestrate`"),
        ("/orchestrate fix", "`fix` needs a text that says what to change"),
        ("/orchestrate approve, all of it", "`approve,` is not a verb that I know"),
        ("/orchestrate cancel please", "`cancel` takes no text after it"),
        ("/orchestrate approve\n/orchestrate cancel", "There is more than one command in the comment"),
    ];
    for (command, answer) in cases {
        scene.comment(STRANGER, issue, command).await;
        let said = scene.answer(issue, answer).await;
        let body = said["body"].as_str().unwrap_or_default();
        assert!(body.contains("/orchestrate status"), "it lists the commands: {body}");
    }
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    assert_eq!(scene.around.bot_comments(issue).await.expect("comments").len(), 1 + cases.len());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_does_its_work_and_is_answered_once() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, _) = scene.planned_issue().await;
    scene.comment(READER, issue, "/orchestrate help").await;
    scene.answer(issue, "### Commands").await;
    scene.comment(READER, issue, "/orchestrate status").await;
    scene.answer(issue, "### Status").await;
    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.answer(issue, "`retry` has nothing to do now").await;
    scene.comment(MAINTAINER, issue, "/orchestrate fix the comma").await;
    scene.answer(issue, "`fix` has nothing to do now").await;
    scene.comment(MAINTAINER, issue, "/orchestrate cancel").await;
    scene.until(issue, "cancelled").await;
    scene.answer(issue, "It was cancelled by `ada`").await;
    scene.comment(MAINTAINER, issue, "/orchestrate approve").await;
    scene.answer(issue, "`approve` has nothing to do now").await;

    scene.comment(MAINTAINER, issue, "/orchestrate retry").await;
    scene.answer(issue, "Going on with attempt 1 of revision 2").await;
    let plan = scene.plan_comment(issue, 2).await;
    scene.react(MAINTAINER, plan, "+1").await;
    let task = scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    let pull = task.pull_request.expect("a pull request").0;
    let first_head = task.head.expect("work");

    scene.comment(READER, pull, "/orchestrate fix say it louder, please").await;
    scene.answer(pull, "GitHub did not confirm that `robin` is one of them").await;
    scene.comment(MAINTAINER, pull, "/orchestrate fix say it louder, please").await;
    scene.answer(pull, "Working on this by your instruction").await;
    scene.answer(pull, "on top of this pull request (follow-up round 1)").await;
    let task = scene.until(issue, "pull_request_open").await;
    let heads: Vec<String> = scene.auto_branches().into_values().collect();
    assert_eq!(heads, [task.head.as_ref().expect("work").to_string()]);
    let commit = scene.get(&format!("/commits/{}", heads[0])).await;
    assert_eq!(commit["parents"][0]["sha"], first_head.to_string().as_str(), "pushed on top");
    scene.idle(issue).await;
    assert_eq!(scene.list(&format!("/pulls/{pull}/reviews")).await.len(), 2, "the round was reviewed, too");

    scene.comment(MAINTAINER, pull, "/orchestrate fix leave it as it is, please").await;
    scene.answer(pull, "The round ended without a change").await;
    scene.comment(MAINTAINER, pull, "/orchestrate status").await;
    scene.answer(pull, "### Status").await;
    scene.comment(MAINTAINER, pull, "/orchestrate cancel").await;
    scene.answer(pull, "`cancel` has nothing to do now").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    assert_eq!(scene.auto_branches().into_values().collect::<Vec<_>>(), heads, "nothing else was pushed");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_where_no_task_is_are_answered() {
    let scene = Scene::play(Play::greeting()).await;
    let issue = scene.around.open_issue(READER, "A question", "How is it spelled?").await.expect("an issue");
    scene.comment(READER, issue, "/orchestrate status").await;
    scene.answer(issue, "There is no task of mine here").await;
    scene.comment(READER, issue, "/orchestrate help").await;
    scene.answer(issue, "### Commands").await;
    scene.comment(READER, issue, "/orchestrate approve").await;
    scene.answer(issue, "GitHub did not confirm that `robin` is one of them").await;

    let admin = scene.around.github.admin();
    admin.push_file(MAINTAINER, REPOSITORY, "adas-own", "README.md", "# Another\n").expect("a branch");
    let new = json!({ "title": "My own", "head": "adas-own", "base": "main", "body": "" });
    let pull = scene.person(MAINTAINER, "POST", "/pulls", new).await["number"].as_u64().expect("a number");
    for command in ["fix say it louder, please", "retry", "cancel"] {
        let before = scene.said(pull, "There is no task of mine here").await.len();
        scene.comment(MAINTAINER, pull, &format!("/orchestrate {command}")).await;
        crate::scene::wait(command, || async {
            let said = scene.said(pull, "There is no task of mine here").await.len();
            (said == before + 1).then_some(())
        })
        .await;
    }
    // The label on a pull request asks for nothing.
    scene.label(pull).await;
    scene.ingested().await;
    assert_eq!(scene.tasks(pull).await.len(), 0);
    assert_eq!(scene.around.model.journal().len(), 0, "no model was asked");
    assert_eq!(scene.list("/pulls?state=all").await.len(), 1, "hers alone");
    let head = scene.get("/branches/adas-own").await["commit"]["sha"].clone();
    assert_eq!(pull_head(&scene, pull).await, head, "her branch is as she left it");
    scene.finish().await;
}

async fn pull_head(scene: &Scene, pull: u64) -> Value {
    scene.get(&format!("/pulls/{pull}")).await["head"]["sha"].clone()
}

/// A 👍 whose look came to nothing once is not hidden by GitHub's "not modified" afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_could_not_be_written_down_is_found_again() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    // The database takes no approval for a while: the look is taken, and what it means is lost.
    scene
        .sql(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
             CREATE TRIGGER no BEFORE INSERT ON transitions FOR EACH ROW WHEN (NEW.event = 'reacted')
                 EXECUTE FUNCTION no()",
        )
        .await;
    scene.react(MAINTAINER, plan, "+1").await;
    scene.polled().await;
    // The same through an event of the issue.
    scene.comment(READER, issue, "Is it coming?").await;
    scene.polled_only().await;
    assert_eq!(scene.task(issue).await.state, State::AwaitingApproval);
    scene.sql("DROP TRIGGER no ON transitions").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_takes_the_approval_back_the_other_one_counts() {
    let play = Play::greeting().with_settings("limits: { concurrent_tasks: 1 }");
    let scene = Scene::play(play).await;
    let admin = scene.around.github.admin();
    scene.add_person("linus", 1_011);
    admin.set_permission("linus", REPOSITORY, Role::Write).expect("a seat");
    let (first, first_plan) = scene.planned_issue().await;
    let (second, second_plan) = scene.planned_issue().await;
    scene.around.model.inject([Answer::Hang { seconds: 80.0 }]);
    scene.react(MAINTAINER, first_plan, "+1").await;
    scene.until(first, "implementing").await;
    let reaction = scene.around.react(MAINTAINER, second_plan, "+1").await.expect("a reaction");
    scene.until(second, "queued").await;
    scene.react("linus", second_plan, "+1").await;
    scene.polled().await;
    let path = format!("/issues/comments/{second_plan}/reactions/{reaction}");
    scene.person(MAINTAINER, "DELETE", &path, Value::Null).await;
    scene.polled().await;
    scene.around.model.let_go();
    scene.answer(second, "Approved by `linus`").await;
    scene.until(second, "pull_request_open").await;
    scene.idle(first).await;
    scene.idle(second).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thumb_counts_from_when_its_owner_may_write() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    scene.react(READER, plan, "+1").await;
    nothing_started(&scene, issue).await;
    scene.around.github.admin().set_permission(READER, REPOSITORY, Role::Write).expect("a seat");
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    scene.answer(issue, "Approved by `robin`").await;
    scene.finish().await;
}

/// Reactions that did not change cost nothing of the rate limit, and those that were refused for the rate
/// limit's sake are not asked for until the time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_that_wait_are_polled_sparingly_and_not_at_all_while_github_limits_us() {
    let scene = Scene::play(Play::greeting()).await;
    let (issue, plan) = scene.planned_issue().await;
    scene.planned_issue().await;
    scene.polled().await;
    let journal = scene.around.github.journal();
    let looks = || {
        let mut requests = journal.requests();
        requests.retain(|one| one.method == "GET" && one.path.contains("/reactions"));
        requests
    };
    let before = looks().len();
    scene.polled().await;
    let unchanged = looks().split_off(before);
    assert!(!unchanged.is_empty());
    assert!(unchanged.iter().all(|look| look.status == 304), "{:?}", unchanged.last());

    let limit = Effect::Refuse { status: 403, retry_after_seconds: Some(6) };
    scene.fault(Fault::on_request("GET", "/reactions", limit));
    let limited = || looks().iter().position(|look| look.status == 403);
    let at = wait("the limit", || async { limited() }).await;
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    let looks = looks();
    let after_the_limit = |look: &RequestRecord| (look.at - looks[at].at).num_milliseconds();
    // What was on its way together with the refused one may still come: the other plan's look.
    let (early, late): (Vec<_>, Vec<_>) =
        looks[at + 1..].iter().map(after_the_limit).partition(|waited| *waited < 6_000);
    assert!(early.len() <= 1 && !late.is_empty(), "the next looks came after {early:?} and {late:?} ms");
    scene.idle(issue).await;
    scene.finish().await;
}

/// A task that this version cannot read, as after a step back to an older one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_unreadable_task_does_not_stop_the_polling_of_the_others() {
    let scene = Scene::play(Play::greeting()).await;
    let (_, _) = scene.planned_issue().await;
    let (issue, plan) = scene.planned_issue().await;
    scene
        .sql(
            r#"UPDATE tasks SET data = jsonb_set(data, '{state}', '{"state": "hovering"}')
               WHERE issue_number = (SELECT min(issue_number) FROM tasks)"#,
        )
        .await;
    scene.polled_only().await;
    scene.react(MAINTAINER, plan, "+1").await;
    scene.until(issue, "pull_request_open").await;
    scene.idle(issue).await;
    assert_eq!(
        scene.count("SELECT count(*) FROM jobs WHERE kind = 'schedule' AND state <> 'ready'").await,
        0
    );
    scene.finish().await;
}
