"""Exercises that check themselves: write `my_kl`, then call `check_kl(my_kl)`.

    from vae_helpers.exercises import check_coin_kl

    check_coin_kl(my_coin_kl)

One rule gives all names: the reader's function is `my_<name>`, so that it overwrites
nothing of the lesson, and its check is `check_<name>`, so that it can be guessed and
the editor can complete it. A check is an ordinary name to import and needs no set-up,
no number that a new exercise would shift, and no text that could be mistyped.

`EXERCISES` has them all, by name; `scripts/grade.py` uses it.
"""

from vae_helpers.exercises.codes import (
    check_denoising_loss,
    check_distances,
    check_nearest_vote,
    check_pca,
)
from vae_helpers.exercises.elbo import (
    check_coin_kl,
    check_elbo_on_table,
    check_gaussian_kl,
    check_posterior,
)
from vae_helpers.exercises.engine import Exercise, Reply
from vae_helpers.exercises.gradients import check_best_baseline, check_relaxed_sample
from vae_helpers.exercises.likelihoods import check_gaussian_log_p, check_log_integral
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
from vae_helpers.exercises.vae import check_elbo_terms, check_three_rows
from vae_helpers.exercises.vae_codes import check_code_covariance, check_inpainting

__all__ = [
    "EXERCISES",
    "Exercise",
    "Reply",
    "check_best_baseline",
    "check_class_posterior",
    "check_code_covariance",
    "check_coin_kl",
    "check_denoising_loss",
    "check_distances",
    "check_elbo_on_table",
    "check_elbo_terms",
    "check_full_log_q",
    "check_gaussian_kl",
    "check_gaussian_log_p",
    "check_inpainting",
    "check_log_integral",
    "check_log_p_from_logits",
    "check_log_sum_exp",
    "check_logistic_sample",
    "check_nearest_vote",
    "check_pca",
    "check_posterior",
    "check_relaxed_sample",
    "check_reparameterize",
    "check_score_loss",
    "check_three_rows",
    "check_typical_p",
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
    )
}
