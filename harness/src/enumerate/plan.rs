//! States, transitions, and the cases that run them.

use std::collections::HashSet;

use super::alphabet::{Alphabet, PATHS, SYMMETRIES};
use crate::case::Case;
use crate::check::look_after;
use crate::model::{Context, Model};
use crate::step::Step;
use crate::trace::{FNV_START, fnv1a};

/// A case: indices of layers and steps.
#[derive(Clone, Debug)]
struct Planned {
    layers: u16,
    steps: Vec<u16>,
}

/// What an enumeration covers, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many steps a sequence has at most.
    pub length: usize,
    /// Steps of the alphabet.
    pub alphabet: usize,
    /// Initial layers.
    pub layers: usize,
    /// All sequences of one step to `length` steps, on all layers.
    pub sequences: u128,
    /// States that are continued, by the number of steps that lead to them.
    pub states: Vec<usize>,
    /// Transitions that are run: a state and a step.
    pub transitions: usize,
    /// Those of them that leave the state as it is.
    pub still: usize,
    /// Transitions that are another one's image when names are exchanged, and not run.
    pub symmetric: usize,
    /// Transitions, of those that are not the last step, that lead to a state which is continued elsewhere.
    pub merged: usize,
    /// Transitions after which no rule says what is seen, and nothing is continued.
    pub lost: usize,
    /// Cases.
    pub cases: usize,
}

/// All cases of an enumeration, in a fixed order.
#[derive(Clone, Debug)]
pub struct Plan {
    alphabet: Alphabet,
    layers: Vec<Case>,
    cases: Vec<Planned>,
    /// What it covers.
    pub coverage: Coverage,
}

/// A prefix that stands for all that lead to its state.
struct Representative {
    layers: u16,
    steps: Vec<u16>,
}

impl Plan {
    /// Plans all sequences of up to `length` steps in this context. `on_state` is told how many states are done
    /// and how many there are on this level, and says whether to go on.
    pub fn new(
        alphabet: Alphabet,
        layers: Vec<Case>,
        context: &Context,
        length: usize,
        mut on_state: impl FnMut(usize, usize, usize) -> bool,
    ) -> Option<Plan> {
        let mut coverage =
            Coverage { length, alphabet: alphabet.ops.len(), layers: layers.len(), ..Coverage::default() };
        let per_layers: u128 = (1..=length as u32).map(|n| (alphabet.ops.len() as u128).pow(n)).sum();
        coverage.sequences = per_layers * layers.len() as u128;
        let mut plan = Plan { alphabet, layers, cases: Vec::new(), coverage };
        let mut known: HashSet<u128> = HashSet::new();
        let mut level = Vec::new();
        for at in 0..plan.layers.len() {
            let model = plan.model(context, at, &[]);
            if known.insert(smallest(&model)) {
                level.push(Representative { layers: at as u16, steps: Vec::new() });
            }
        }
        for depth in 0..length {
            plan.coverage.states.push(level.len());
            let mut next = Vec::new();
            for (done, state) in level.iter().enumerate() {
                if !on_state(depth, done, level.len()) {
                    return None;
                }
                plan.expand(context, state, &mut known, &mut next);
            }
            level = next;
        }
        plan.coverage.cases = plan.cases.len();
        Some(plan)
    }

    /// Plans every step from one state.
    fn expand(
        &mut self,
        context: &Context,
        from: &Representative,
        known: &mut HashSet<u128>,
        next: &mut Vec<Representative>,
    ) {
        let before = self.model(context, usize::from(from.layers), &from.steps);
        let own = before.fingerprint(&[]);
        // Exchanges of names that change nothing in this state: then a step and its image are one.
        let same: Vec<usize> = (1..SYMMETRIES.len()).filter(|&s| before.fingerprint(SYMMETRIES[s]) == own).collect();
        let (mut still, mut changing) = (from.steps.clone(), Vec::new());
        for op in 0..self.alphabet.ops.len() {
            if same.iter().any(|&s| self.alphabet.images[s][op] < op) {
                self.coverage.symmetric += 1;
                continue;
            }
            self.coverage.transitions += 1;
            let mut steps = from.steps.clone();
            steps.push(op as u16);
            let after = self.model(context, usize::from(from.layers), &steps);
            if after.fingerprint(&[]) == own {
                self.coverage.still += 1;
                still.push(op as u16);
                continue;
            }
            if after.adrift {
                self.coverage.lost += 1;
            } else if from.steps.len() + 1 == self.coverage.length {
                // Nothing follows the last step, so where it leads does not matter.
            } else if known.insert(smallest(&after)) {
                next.push(Representative { layers: from.layers, steps: steps.clone() });
            } else {
                self.coverage.merged += 1;
            }
            changing.push(op as u16);
        }
        // What leaves the state as it is comes first, in the case of one step that does not.
        let mut changing = changing.into_iter();
        still.extend(changing.next());
        self.cases.push(Planned { layers: from.layers, steps: still });
        for op in changing {
            let mut steps = from.steps.clone();
            steps.push(op);
            self.cases.push(Planned { layers: from.layers, steps });
        }
    }

    /// The model after some steps, with the looks that the worker takes.
    fn model(&self, context: &Context, layers: usize, steps: &[u16]) -> Model {
        let case = &self.layers[layers];
        let mut model = Model::new(case, context.clone(), None);
        let taken = steps.iter().map(|&s| &self.alphabet.ops[usize::from(s)]);
        for op in case.steps.iter().map(|s| &s.op).chain(taken) {
            model.rules.begin_step();
            // What it returns is judged when it is run.
            let _ = model.apply(op);
            look_after(&mut model, op);
        }
        model
    }

    /// How many cases there are.
    pub fn len(&self) -> u64 {
        self.cases.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The case of an index.
    pub fn case(&self, index: u64) -> Option<Case> {
        let planned = self.cases.get(usize::try_from(index).ok()?)?;
        let mut case = self.layers.get(usize::from(planned.layers))?.clone();
        case.steps.extend(planned.steps.iter().map(|&s| Step::from(self.alphabet.ops[usize::from(s)].clone())));
        Some(case)
    }

    /// A label of the whole plan: another alphabet, other layers or another model give another.
    pub fn label(&self) -> u64 {
        let mut label = self.layers.iter().fold(FNV_START, |h, c| fnv1a(h, c.to_string().as_bytes()));
        label = self.alphabet.ops.iter().fold(label, |h, op| fnv1a(h, format!("{op:?}").as_bytes()));
        for case in &self.cases {
            label = fnv1a(label, &case.layers.to_le_bytes());
            label = case.steps.iter().fold(label, |h, s| fnv1a(h, &s.to_le_bytes()));
        }
        label
    }

    /// The steps of the alphabet.
    pub fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    /// The paths that steps name.
    pub fn paths() -> &'static [&'static str] {
        &PATHS
    }

    /// The initial layers.
    pub fn layers(&self) -> &[Case] {
        &self.layers
    }
}

/// The fingerprint that a state has in common with all that differ from it in names alone.
fn smallest(model: &Model) -> u128 {
    SYMMETRIES.iter().map(|s| model.fingerprint(s)).min().unwrap_or_default()
}
