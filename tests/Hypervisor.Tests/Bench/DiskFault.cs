namespace Paravane.Hypervisor.Tests.Bench;

/// <summary>What a <see cref="TinyDisk{TRing}"/> does wrong, once in a while.</summary>
public enum DiskFault
{
    None,
    FlipsABitOnRead,
    FlipsABitOnWrite,
    ForgetsAWrite,
    WritesElsewhere,
    ReadsNothing,
    NeverAnswers,
    AnswersWithoutStatus,
    ReportsAnError,
}
