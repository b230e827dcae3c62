//! Money as whole numbers: prices per token and the cost of a call, in picodollars.

use std::fmt;

/// Picodollars in one US dollar.
pub(crate) const PICOS_PER_USD: u64 = 1_000_000_000_000;
/// Digits of a price after the point: one millionth of a dollar per million tokens is one picodollar a token.
const PRICE_DECIMALS: usize = 6;
const MAX_USD_PER_MILLION: u64 = 1_000_000;

/// Price of one token. A price of 0.15 USD per million tokens is 150,000 picodollars a token, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenPrice {
    picos: u64,
}

/// What a model's tokens cost at one provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prices {
    /// Input that the provider had not cached.
    pub input: TokenPrice,
    /// Input that the provider had cached.
    pub cached_input: TokenPrice,
    /// Output, reasoning included.
    pub output: TokenPrice,
}

/// Tokens of one call, as the provider reported them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input, cached or not.
    pub input: u64,
    /// The part of the input that the provider had cached.
    pub cached: u64,
    /// All output.
    pub output: u64,
}

/// An amount of money, exact to the picodollar; it stops at the largest value instead of wrapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    picos: u64,
}

/// Why a price was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected US dollars per million tokens, 0 to 1000000, with at most 6 decimals")]
pub struct PriceError;

impl TokenPrice {
    /// Reads US dollars per million tokens, written as a plain decimal.
    ///
    /// # Errors
    /// Anything but digits with at most six of them after a point, and more than a million dollars.
    pub fn per_million(decimal: &str) -> Result<Self, PriceError> {
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > PRICE_DECIMALS {
            return Err(PriceError);
        }
        let scale = 10_u64.pow(PRICE_DECIMALS as u32);
        let whole: u64 = whole.parse().map_err(|_| PriceError)?;
        let fraction: u64 = format!("{fraction:0<PRICE_DECIMALS$}")
            .parse()
            .map_err(|_| PriceError)?;
        let picos = whole
            .checked_mul(scale)
            .and_then(|picos| picos.checked_add(fraction))
            .filter(|picos| *picos <= MAX_USD_PER_MILLION * scale)
            .ok_or(PriceError)?;
        Ok(Self { picos })
    }

    fn times(self, tokens: u64) -> u64 {
        self.picos.saturating_mul(tokens)
    }
}

impl Prices {
    /// The exact cost of these tokens. Cached tokens are part of the input, never more than it.
    #[must_use]
    pub fn cost(&self, tokens: Tokens) -> Cost {
        let cached = tokens.cached.min(tokens.input);
        let parts = [
            self.input.times(tokens.input - cached),
            self.cached_input.times(cached),
            self.output.times(tokens.output),
        ];
        Cost {
            picos: parts.into_iter().fold(0, u64::saturating_add),
        }
    }
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { picos: 0 };

    /// The amount in picodollars, 10⁻¹² US dollars.
    #[must_use]
    pub const fn picodollars(self) -> u64 {
        self.picos
    }

    /// The amount in US dollars, for people and for JSON.
    #[must_use]
    pub fn usd(self) -> f64 {
        self.picos as f64 / PICOS_PER_USD as f64
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}.{:012} USD",
            self.picos / PICOS_PER_USD,
            self.picos % PICOS_PER_USD
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(decimal: &str) -> TokenPrice {
        TokenPrice::per_million(decimal).unwrap()
    }

    #[test]
    fn a_price_is_exact() {
        for (decimal, picos) in [
            ("0", 0),
            ("0.15", 150_000),
            ("2", 2_000_000),
            ("0.000001", 1),
            ("1000000", 1_000_000_000_000),
        ] {
            assert_eq!(price(decimal).picos, picos, "{decimal}");
        }
    }

    #[test]
    fn a_price_that_is_no_plain_decimal_is_refused() {
        for decimal in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.0000001",
            "1000000.000001",
            "inf",
            "1_0",
            "1,5",
        ] {
            assert_eq!(TokenPrice::per_million(decimal), Err(PriceError), "{decimal}");
        }
    }

    #[test]
    fn cached_input_has_its_own_price() {
        let prices = Prices {
            input: price("0.15"),
            cached_input: price("0.075"),
            output: price("0.60"),
        };

        let cost = prices.cost(Tokens {
            input: 1_000,
            cached: 400,
            output: 10,
        });

        assert_eq!(cost.picodollars(), 600 * 150_000 + 400 * 75_000 + 10 * 600_000);
        assert_eq!(cost.to_string(), "0.000126000000 USD");
    }

    #[test]
    fn more_cached_than_input_costs_no_more_than_the_input() {
        let prices = Prices {
            input: price("1"),
            cached_input: price("1"),
            output: price("1"),
        };

        let cost = prices.cost(Tokens {
            input: 5,
            cached: 50,
            output: 0,
        });

        assert_eq!(cost.picodollars(), 5_000_000);
    }

    proptest! {
        #[test]
        fn the_cost_of_all_is_the_sum_of_the_costs(
            calls in proptest::collection::vec((0_u64..1_000_000, 0_u64..1_000_000, 0_u64..1_000_000), 0..20),
            picos in (0_u64..100_000_000, 0_u64..100_000_000, 0_u64..100_000_000),
        ) {
            let prices = Prices {
                input: TokenPrice { picos: picos.0 },
                cached_input: TokenPrice { picos: picos.1 },
                output: TokenPrice { picos: picos.2 },
            };
            let tokens = |(fresh, cached, output)| Tokens { input: fresh + cached, cached, output };
            let sum: u64 = calls.iter().map(|call| prices.cost(tokens(*call)).picodollars()).sum();
            let all = calls.iter().fold((0, 0, 0), |all, call| (all.0 + call.0, all.1 + call.1, all.2 + call.2));

            prop_assert_eq!(sum, prices.cost(tokens(all)).picodollars());
        }
    }
}
