using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Tests.Kvm;

namespace Paravane.Hypervisor.Tests.Bare;

[Trait("Needs", "KVM")]
public sealed class RingZeroProbeTests
{
    [Fact]
    public void The_time_of_an_instruction_is_one_that_a_processor_or_an_emulator_takes()
    {
        using KvmSystem system = BareGuest.OpenKvm();
        double nanoseconds = RingZeroProbe.MeasureNanoseconds(system);
        Assert.InRange(nanoseconds, 0.05, 50_000);
        TestContext.Current.SendDiagnosticMessage("{0:F1} ns for each instruction at ring 0", nanoseconds);
    }
}
