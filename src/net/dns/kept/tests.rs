use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A memory and a clock.
struct Scene {
    kept: Kept<u32>,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { kept: Kept::new(), now: Instant::now() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn look(&mut self) -> Look<u32> {
        self.kept.look(self.now)
    }

    fn known(&mut self) -> Result<u32, Failure> {
        match self.look() {
            Look::Known(answer) => answer,
            other => panic!("not known: {other:?}"),
        }
    }

    /// Asks, which must be due, and answers at once.
    fn learn(&mut self, outcome: Result<(u32, Duration), Failure>) -> Result<u32, Failure> {
        assert_eq!(self.look(), Look::Ask);
        self.kept.complete(self.now, outcome);
        self.known()
    }
}

fn failed() -> Failure {
    Failure::Failed("SERVFAIL".into())
}

#[test]
fn what_was_never_asked_is_asked_once() {
    let mut scene = Scene::new();
    assert_eq!(scene.look(), Look::Ask);
    assert_eq!(scene.look(), Look::Asking);
    scene.pass(HOUR);
    assert_eq!(scene.look(), Look::Asking);
}

#[test]
fn addresses_are_kept_for_their_time_to_live() {
    let mut scene = Scene::new();
    assert_eq!(scene.learn(Ok((1, Duration::from_secs(5)))), Ok(1));
    scene.pass(Duration::from_secs(5) - MILLISECOND);
    assert_eq!(scene.known(), Ok(1));
    scene.pass(MILLISECOND);
    assert_eq!(scene.look(), Look::Ask);
}

#[test]
fn a_time_to_live_of_a_day_is_ten_seconds() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, 24 * HOUR))).unwrap();
    scene.pass(MAX_TTL - MILLISECOND);
    assert_eq!(scene.known(), Ok(1));
    scene.pass(MILLISECOND);
    assert_eq!(scene.look(), Look::Ask);
}

#[test]
fn a_time_to_live_of_zero_is_a_quarter_of_a_second() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(MIN_TTL - MILLISECOND);
    assert_eq!(scene.known(), Ok(1));
    scene.pass(MILLISECOND);
    assert_eq!(scene.look(), Look::Ask);
}

#[test]
fn a_failure_is_kept_for_a_second() {
    for failure in [failed(), Failure::NotFound] {
        let mut scene = Scene::new();
        assert_eq!(scene.learn(Err(failure.clone())), Err(failure.clone()));
        scene.pass(FAILURE_TTL - MILLISECOND);
        assert_eq!(scene.known(), Err(failure));
        scene.pass(MILLISECOND);
        assert_eq!(scene.look(), Look::Ask);
    }
}

#[test]
fn while_no_server_answers_the_last_addresses_are_given_for_five_minutes() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(LAST_GOOD - MILLISECOND);
    assert_eq!(scene.learn(Err(failed())), Ok(1));
    scene.pass(MILLISECOND);
    assert_eq!(scene.known(), Err(failed()));
}

#[test]
fn an_answer_begins_the_five_minutes_anew() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(LAST_GOOD - MILLISECOND);
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(LAST_GOOD - MILLISECOND);
    assert_eq!(scene.learn(Err(failed())), Ok(1));
}

#[test]
fn a_denial_counts_after_five_seconds() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(MIN_TTL);
    assert_eq!(scene.learn(Err(Failure::NotFound)), Ok(1));
    scene.pass(GRACE - MILLISECOND);
    assert_eq!(scene.learn(Err(Failure::NotFound)), Ok(1));
    scene.pass(MILLISECOND);
    assert_eq!(scene.known(), Err(Failure::NotFound));
}

#[test]
fn addresses_end_a_denial() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(MIN_TTL);
    scene.learn(Err(Failure::NotFound)).unwrap();
    scene.pass(GRACE - MILLISECOND);
    assert_eq!(scene.learn(Ok((2, Duration::ZERO))), Ok(2));
    scene.pass(GRACE);
    assert_eq!(scene.learn(Err(Failure::NotFound)), Ok(2));
}

#[test]
fn a_denial_that_counts_is_not_undone_by_a_server_that_fails() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, Duration::ZERO))).unwrap();
    scene.pass(MIN_TTL);
    scene.learn(Err(Failure::NotFound)).unwrap();
    scene.pass(GRACE);
    assert_eq!(scene.learn(Err(failed())), Err(failed()));
}

#[test]
fn a_doubt_asks_at_once_but_four_times_a_second() {
    let mut scene = Scene::new();
    scene.learn(Ok((1, HOUR))).unwrap();
    scene.kept.doubt();
    assert_eq!(scene.known(), Ok(1));
    scene.pass(MIN_INTERVAL);
    assert_eq!(scene.learn(Ok((2, HOUR))), Ok(2));
    scene.pass(MIN_INTERVAL);
    assert_eq!(scene.known(), Ok(2), "the doubt was about the answer before");
    scene.pass(Duration::from_secs(3));
    scene.kept.doubt();
    assert_eq!(scene.look(), Look::Ask);
}

#[test]
fn a_doubt_asks_again_about_a_failure_too() {
    let mut scene = Scene::new();
    scene.learn(Err(failed())).unwrap_err();
    scene.kept.doubt();
    scene.pass(MIN_INTERVAL);
    assert_eq!(scene.look(), Look::Ask);
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Look,
    Doubt,
    Found(u64),
    Denied,
    Failed,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..700_u64).prop_map(Event::Pass),
        1 => (0..400_000_u64).prop_map(Event::Pass),
        6 => Just(Event::Look),
        2 => Just(Event::Doubt),
        2 => (0..20_000_u64).prop_map(Event::Found),
        2 => Just(Event::Denied),
        2 => Just(Event::Failed),
    ];
    prop::collection::vec(event, 1..200)
}

proptest! {
    #[test]
    fn whatever_happens_questions_are_rare_and_nothing_too_old_is_given(events in events()) {
        let mut scene = Scene::new();
        let mut asking = false;
        let mut questions: Vec<Instant> = Vec::new();
        // The last addresses, when they were found, and since when the name is denied.
        let mut found: Option<(u32, Instant)> = None;
        let mut denied: Option<Instant> = None;
        let mut number = 0;
        for event in events {
            match event {
                Event::Pass(milliseconds) => scene.pass(Duration::from_millis(milliseconds)),
                Event::Doubt => scene.kept.doubt(),
                Event::Look => match scene.look() {
                    Look::Ask => {
                        prop_assert!(!asking, "one question at a time");
                        asking = true;
                        questions.push(scene.now);
                    }
                    Look::Asking => prop_assert!(asking),
                    Look::Known(answer) => {
                        prop_assert!(!asking && !questions.is_empty());
                        let may_be_given = |at: Instant| {
                            scene.now - at < LAST_GOOD && denied.is_none_or(|since| scene.now - since < GRACE)
                        };
                        let expected = found.filter(|(_, at)| may_be_given(*at)).map(|(value, _)| value);
                        prop_assert_eq!(answer.ok(), expected);
                    }
                },
                Event::Found(_) | Event::Denied | Event::Failed if !asking => {}
                Event::Found(ttl) => {
                    number += 1;
                    (asking, found, denied) = (false, Some((number, scene.now)), None);
                    scene.kept.complete(scene.now, Ok((number, Duration::from_millis(ttl))));
                }
                Event::Denied => {
                    asking = false;
                    denied.get_or_insert(scene.now);
                    scene.kept.complete(scene.now, Err(Failure::NotFound));
                }
                Event::Failed => {
                    asking = false;
                    scene.kept.complete(scene.now, Err(failed()));
                }
            }
        }
        for five in questions.windows(5) {
            prop_assert!(five[4] - five[0] >= Duration::from_secs(1), "more than four questions a second");
        }
    }
}
