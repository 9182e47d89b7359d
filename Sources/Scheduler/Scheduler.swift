// The driver stands here once the informers do; ``SchedulerState`` decides.
