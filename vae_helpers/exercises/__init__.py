"""Exercises that check themselves: write `my_kl`, then call `check_kl(my_kl)`.

    from vae_helpers.exercises import check_coin_kl

    check_coin_kl(my_coin_kl)

One rule gives all names: the reader's function is `my_<name>`, so that it overwrites
nothing of the lesson, and its check is `check_<name>`, so that it can be guessed and
the editor can complete it. A check is an ordinary name to import and needs no set-up,
no number that a new exercise would shift, and no text that could be mistyped.

`EXERCISES` has them all, by name; `scripts/grade.py` uses it.
"""

from vae_helpers.exercises.bug_hunt import check_integral, check_pooled
from vae_helpers.exercises.codes import (
    check_denoising_loss,
    check_distances,
    check_nearest_vote,
    check_pca,
)
from vae_helpers.exercises.comparisons import check_auc, check_paired_gain
from vae_helpers.exercises.directions import check_pure_direction, check_slerp
from vae_helpers.exercises.elbo import (
    check_coin_kl,
    check_elbo_on_table,
    check_gaussian_kl,
    check_posterior,
)
from vae_helpers.exercises.engine import Exercise, Reply
from vae_helpers.exercises.evidence import (
    check_iwae_bound,
    check_log_error,
    check_mixed_log_w,
)
from vae_helpers.exercises.gradients import check_best_baseline, check_relaxed_sample
from vae_helpers.exercises.likelihoods import check_gaussian_log_p, check_log_integral
from vae_helpers.exercises.own_data import check_poisson_log_p, check_split
from vae_helpers.exercises.own_models import check_mixture_sample, check_unlabelled_elbo
from vae_helpers.exercises.plane import check_grid_gap, check_round_sheet
from vae_helpers.exercises.priors import check_coupling_log_p, check_mixture_log_p
from vae_helpers.exercises.rates import check_spend_rate, check_target_rate
from vae_helpers.exercises.reparameterization import (
    check_full_log_q,
    check_logistic_sample,
    check_reparameterize,
    check_score_loss,
)
from vae_helpers.exercises.start import (
    check_class_posterior,
    check_log_p_from_logits,
    check_log_sum_exp,
    check_typical_p,
)
from vae_helpers.exercises.units import check_active_units, check_mig
from vae_helpers.exercises.vae import check_elbo_terms, check_three_rows
from vae_helpers.exercises.vae_codes import check_code_covariance, check_inpainting

__all__ = [
    "EXERCISES",
    "Exercise",
    "Reply",
    "check_active_units",
    "check_auc",
    "check_best_baseline",
    "check_class_posterior",
    "check_code_covariance",
    "check_coin_kl",
    "check_coupling_log_p",
    "check_denoising_loss",
    "check_distances",
    "check_elbo_on_table",
    "check_elbo_terms",
    "check_full_log_q",
    "check_gaussian_kl",
    "check_gaussian_log_p",
    "check_grid_gap",
    "check_inpainting",
    "check_integral",
    "check_iwae_bound",
    "check_log_error",
    "check_log_integral",
    "check_log_p_from_logits",
    "check_log_sum_exp",
    "check_logistic_sample",
    "check_mig",
    "check_mixed_log_w",
    "check_mixture_log_p",
    "check_mixture_sample",
    "check_nearest_vote",
    "check_paired_gain",
    "check_pca",
    "check_poisson_log_p",
    "check_pooled",
    "check_posterior",
    "check_pure_direction",
    "check_relaxed_sample",
    "check_reparameterize",
    "check_round_sheet",
    "check_score_loss",
    "check_slerp",
    "check_spend_rate",
    "check_split",
    "check_target_rate",
    "check_three_rows",
    "check_typical_p",
    "check_unlabelled_elbo",
]

EXERCISES = {
    exercise.name: exercise
    for exercise in (
        check_typical_p,
        check_log_p_from_logits,
        check_log_sum_exp,
        check_class_posterior,
        check_distances,
        check_pca,
        check_nearest_vote,
        check_denoising_loss,
        check_coin_kl,
        check_posterior,
        check_gaussian_kl,
        check_elbo_on_table,
        check_reparameterize,
        check_score_loss,
        check_logistic_sample,
        check_full_log_q,
        check_best_baseline,
        check_relaxed_sample,
        check_elbo_terms,
        check_three_rows,
        check_code_covariance,
        check_inpainting,
        check_gaussian_log_p,
        check_log_integral,
        check_target_rate,
        check_active_units,
        check_spend_rate,
        check_mig,
        check_round_sheet,
        check_slerp,
        check_grid_gap,
        check_pure_direction,
        check_iwae_bound,
        check_log_error,
        check_mixed_log_w,
        check_auc,
        check_paired_gain,
        check_integral,
        check_mixture_log_p,
        check_coupling_log_p,
        check_pooled,
        check_split,
        check_poisson_log_p,
        check_unlabelled_elbo,
        check_mixture_sample,
    )
}
