"""`Sequential`: layers in a row, assembled, trained, asked and kept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnet import fitting, streams, training
from cnet.arrays import Array, Integers
from cnet.augment import Augmentation
from cnet.byhand import ByHand
from cnet.compiled import check_schedule
from cnet.data import as_rows
from cnet.diagnosis import diagnose
from cnet.history import History
from cnet.hooks import Callback
from cnet.threads import get_threads, resolve

# Arrays of these types go to the compiled core as they are.
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


class Sequential(ByHand):
    """A network of layers, each reading what the one before it gives.

    Parameters
    ----------
    layers : sequence of Layer
    seed : int, optional
        Decides the first weights, the order of the rows and what random layers draw: the same seed
        gives the same bits. Unless given, one is drawn and kept in `seed`.
    dtype : {"float32", "float64"}
        Of parameters, activations and results.
    scale : float, optional
        Multiplies inputs while they are gathered, always: 1/255 for uint8 images.
    normalize_inputs, normalize_targets : "standardize", "minmax", "robust" or Normalizer, optional
        Scale every column by what the rows of the first `fit` have in it; see `adapt`. Outputs and
        metrics are in the targets' own units all the same, the loss is that of scaled targets.
    kernel_regularizer : name or regularizer, optional
        What the size of the weights of all dense layers costs that name none themselves. For
        embeddings, biases, gamma and beta there is only what their own layer says.

    Attributes
    ----------
    history : History
        Of the last `fit`.

    Raises
    ------
    TypeError, ValueError
        For what is no layer, a layer used twice, or settings out of range.

    Examples
    --------
    >>> net = Sequential([Dense(16, "tanh"), Dense(1)], seed=0)
    >>> net.compile(optimizer="adam", loss="mse")
    >>> history = net.fit(x, y, epochs=20, verbose=0)
    """

    __slots__ = ()

    # ---- training --------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | str | None = "auto",
        shuffle: bool = True,
        validation_data: Any = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        verbose: str | int = "auto",
        steps_per_epoch: int | None = None,
        threads: int | str | None = None,
        callbacks: Sequence[Callback] = (),
        class_weight: str | Mapping[int, float] | None = None,
        resume: str | os.PathLike[str] | None = None,
        augment: Sequence[Augmentation] | Augmentation = (),
        accumulate: int = 1,
    ) -> History:
        """Train on rows and their targets.

        The run is compiled and comes back to Python about twenty times a second. Ctrl-C ends it
        after the running batch and returns what there is: `history.interrupted` says so.

        Parameters
        ----------
        x : (N, inputs) array
            float16, float32, float64, integer or bool; lists and data frames too. Read where it
            lies: read-only, strided, Fortran-ordered and memory-mapped arrays are not copied (rows
            of several dimensions are, unless C-contiguous). Or, without y: an iterable of batches
            (x, y) or (x, y, sample_weight), which is gone through anew for every epoch; a function
            that returns one; a generator; `cnet.Shards`.
        y : array
            (N, K) targets; (N,) where K is 1; (N,) class indices for the sparse cross-entropy.
        epochs : int
        batch_size : int, None or "auto"
            Rows per step: None is the whole set (gradient descent), 1 is one row (stochastic).
            The last batch of an epoch may be smaller and is averaged over its own rows. "auto" is
            32; of batches that come from an iterable it leaves each as it is, where a number cuts
            them.
        shuffle : bool
            Take the rows in a new order every epoch, which the seed decides. Batches of an iterable
            come in its own order.
        validation_data : (x, y), (x, y, sample_weight), Shards or iterable of batches, optional
            Evaluated after every epoch.
        validation_split : float
            Instead: the share of rows, from the end, to keep for validation.
        sample_weight : (N,) array, optional
        verbose : "auto", 0, 1 or 2
            Nothing (0), a live line on a terminal and a few plain lines elsewhere ("auto", 1), a
            plain line per epoch (2).
        steps_per_epoch : int, optional
            End an epoch after so many batches, and go on from there in the next. A generator needs
            it for more than one epoch, and ends the run when it has no more.
        threads : int or "auto", optional
            That may work on a batch, instead of what `cnet.set_threads` says; changes no bit.
        callbacks : sequence of Callback
            Called while the run goes on, in this order; see `cnet.callbacks`. An exception in one
            passes through, after the running batch.
        class_weight : {class: weight} or "balanced", optional
            Multiplies the sample weights, of the validation rows too, where every row has one
            class: class indices, one-hot targets, 0 and 1 in a single column. Classes that are not
            named have 1; "balanced" is n / (number of classes * rows of the class) of the training
            rows.
        resume : path, optional
            The folder of a `Checkpoint`: continue the run that was cut, to the same bits, from the
            newest file that is readable, and begin afresh if there is none. Or one of its files.
            All arguments but `epochs`, `verbose` and `threads` must be those of that run, and the
            callbacks that keep a state. A run that had ended is not trained any further.
        augment : sequence of Augmentation, optional
            What is done at random to rows of training batches, in this order; see `cnet.augment`.
        accumulate : int
            Make a step of the gradients of so many batches, the mean over all their rows: the step
            of a batch so many times as large, in the memory of one. Batch normalisation and the
            root of "rmse" are those of each batch; an epoch's last step has the batches that are
            left, a shard's likewise. Steps are what schedules, callbacks, averages and
            `steps_per_epoch` count. Not for batches that come from an iterable.

        Returns
        -------
        History

        Raises
        ------
        NotBuiltError
            Before `compile`.
        RuntimeError
            While another thread trains the network; if its learning rate was a function, which the
            file that it comes from could not hold.
        ShapeError, TypeError, ValueError
            For data or settings that do not fit, before anything changes.
        NonFiniteError
            For NaN or infinity in the data, before anything changes, or in a batch.
        FileFormatError, FileNotFoundError
            For what `resume` names.
        """
        check_schedule(self, epochs=True)
        with self.training_alone():
            return fitting.fit(
                self,
                x,
                y,
                epochs=epochs,
                batch_size=batch_size,
                shuffle=shuffle,
                validation_data=validation_data,
                validation_split=validation_split,
                sample_weight=sample_weight,
                verbose=verbose,
                steps_per_epoch=steps_per_epoch,
                threads=threads,
                callbacks=callbacks,
                class_weight=class_weight,
                resume=resume,
                augment=augment,
                accumulate=accumulate,
            )

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: str | Mapping[int, float] | None = None,
    ) -> dict[str, float]:
        """Do one step on one batch.

        Returns
        -------
        dict of str to float
            Loss and metrics of the batch, before the step.

        Raises
        ------
        as `fit`
        """
        _ = self.compiled
        if not self.is_built:  # what is built for this call would have to be undone
            check_schedule(self, epochs=False)
        with self.training_alone():
            with self.building_for(x):
                data = training.prepare(self, x, y, sample_weight, class_weight=class_weight)
                self.built.check_batches(data.rows, data.rows)
            rates = self._next_rate()
            work = self._step
            if work is None:
                work = self._step = training.batches(self, data, data.rows, self.rule)
            else:
                work.threads = get_threads()
                training.rebind(self, work, data, data.rows)
            work.begin()
            work.reset_sums()
            if not work.run(1, rates):
                raise diagnose(self, work, 1)
            return training.figures(self, work, data.rows)

    def evaluate(
        self, x: Any, y: Any = None, sample_weight: Any = None, *, threads: int | str | None = None
    ) -> dict[str, float]:
        """Return the loss and the metrics over a data set.

        Parameters
        ----------
        x, y, sample_weight, threads
            As for `fit`.

        Returns
        -------
        dict of str to float

        Raises
        ------
        as `fit`, and NotBuiltError before `build`
        """
        _ = self.built, self.compiled
        count = resolve(threads)
        if y is None and sample_weight is None:
            stream = streams.for_evaluation(self, x)
            if stream is not None:
                return streams.evaluate_once(self, stream, count)
        return training.evaluate(self, training.prepare(self, x, y, sample_weight), count)

    # ---- asking ----------------------------------------------------------------------------------

    def predict(
        self, x: Any, out: Array | None = None, *, threads: int | str | None = None
    ) -> Array:
        """Return the outputs for rows. Safe from several threads of Python at once.

        Parameters
        ----------
        x : (N, inputs) array
            Any numeric dtype; NaN in gives NaN out.
        out : (N, outputs) array, optional
            Of the network's dtype, C-contiguous; written and returned.
        threads : int or "auto", optional
            As for `fit`.

        Returns
        -------
        (N, outputs) array

        Raises
        ------
        NotBuiltError
            Before `build`.
        ShapeError
            For rows of another shape.
        """
        built = self._built if self._built is not None else self.built
        # The one way that need not be looked at any closer, for the sake of one-row calls.
        direct = type(x) is np.ndarray and x.ndim == 2 and x.dtype in _DIRECT
        if not direct or x.shape[1:] != built.shape:
            x = as_rows(x, "x", built.shape, self._names[0])
        if out is not None and np.may_share_memory(x, out):
            raise ValueError("out must not overlap x, which is still read while out is written")
        return built.core.predict(x, out, self._scale, resolve(threads))

    def predict_classes(self, x: Any) -> Integers:
        """Return class indices (N,): the largest output, or whether a single one is above 1/2.

        A single logit (a loss with `from_logits=True`) counts from 0. Parameters and errors are
        those of `predict`.
        """
        y = self.predict(x)
        if y.shape[1] == 1:
            logits = self.is_compiled and getattr(self.compiled.loss, "from_logits", False)
            return (y[:, 0] > (0.0 if logits else 0.5)).astype(np.int64)
        return np.asarray(y.argmax(axis=1), np.int64)
