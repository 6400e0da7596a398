"""A real Flink cluster: exact totals from files, also when its only task manager is killed."""
import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from servers import processes, ticks

COUNT = 600   # ten minutes of event time

pytestmark = pytest.mark.slow


def test_bounded_pipeline_counts_exactly(flink_cluster, tmp_path):
  flags = flink_cluster.flags(streaming=False, parallelism=2)
  with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
    ticks.count(ticks.create(pipeline, COUNT), tmp_path)
  assert ticks.found(tmp_path) == ticks.expected(COUNT)
  assert flink_cluster.jobs()[-1].state == 'FINISHED'


def test_unbounded_pipeline_counts_exactly(flink_cluster, tmp_path):
  flags = flink_cluster.flags(parallelism=2)
  with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
    ticks.count(ticks.read(pipeline, ticks.Ticks(COUNT)), tmp_path)
  assert ticks.found(tmp_path) == ticks.expected(COUNT)
  assert flink_cluster.jobs()[-1].state == 'FINISHED'


# The process of the task manager is gone while the calls of its Python workers are under way.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_job_survives_the_kill_of_its_only_task_manager(flink_cluster, tmp_path):
  half = COUNT // 2 + 30   # in the middle of a minute: a part of its count is in the checkpoint
  source = ticks.Ticks(COUNT, half, tmp_path / 'gate')
  pipeline = beam.Pipeline(options=PipelineOptions(flink_cluster.flags(checkpoint_msec=500)))
  ticks.count(ticks.read(pipeline, source), tmp_path)
  result = pipeline.run()
  job, = processes.wait_for('not submitted', flink_cluster.unfinished_jobs, 60)

  def wait_for_checkpoint():
    # The first to complete may have begun before this call, the second did not.
    begun = job.checkpoints.completed
    processes.wait_for('no checkpoint', lambda: job.checkpoints.completed >= begun + 2, 30)

  # The watermark stands in the half minute: all before it are written, it is not.
  whole = ticks.expected(half - half % 60)
  processes.wait_for('half not counted', lambda: ticks.found(tmp_path) == whole, 60)
  wait_for_checkpoint()
  assert (job.checkpoints.restored, job.failures) == (0, [])

  flink_cluster.kill_task_manager()
  flink_cluster.start_task_manager()
  processes.wait_for('not restored', lambda: job.checkpoints.restored and job.running, 60)
  source.gate.touch()

  processes.wait_for(
      'not all counted', lambda: ticks.found(tmp_path) == ticks.expected(COUNT), 60)
  wait_for_checkpoint()
  assert ticks.found(tmp_path) == ticks.expected(COUNT)
  assert (job.checkpoints.restored, len(job.failures)) == (1, 1)
  assert job.checkpoints.state_bytes > 0
  result.cancel()
