//! The learning rate over a run: linear warm-up times polynomial decay.

/// `base * min((step + 1) / warmup, 1) * (1 - step / steps)^power`, updates counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub base: f64,
    pub warmup: u64,
    pub steps: u64,
    pub power: f64,
}

impl Schedule {
    /// The learning rate of update `step`; 0 from the end of the run on.
    pub fn rate(&self, step: u64) -> f64 {
        let warm = if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let left = 1.0 - step.min(self.steps) as f64 / self.steps.max(1) as f64;
        self.base * warm * left.powf(self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_then_decays_to_zero() {
        let schedule = Schedule { base: 2.0, warmup: 4, steps: 100, power: 1.0 };
        assert_eq!(schedule.rate(0), 0.5);
        assert_eq!(schedule.rate(3), 2.0 * 0.97);
        assert_eq!(schedule.rate(50), 1.0);
        assert_eq!(schedule.rate(100), 0.0);
        assert_eq!(schedule.rate(101), 0.0);
    }

    #[test]
    fn without_warm_up_it_starts_at_the_base() {
        let schedule = Schedule { base: 5e-5, warmup: 0, steps: 10, power: 0.9 };
        assert_eq!(schedule.rate(0), 5e-5);
        assert!((schedule.rate(5) - 5e-5 * 0.5f64.powf(0.9)).abs() < 1e-18);
    }
}
