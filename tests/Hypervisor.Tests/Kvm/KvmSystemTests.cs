using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Kvm;

[Trait("Needs", "KVM")]
public sealed class KvmSystemTests
{
    [Fact]
    public void A_missing_device_is_one_line_that_says_what_to_do()
    {
        KvmException problem = Assert.Throws<KvmException>(() => KvmSystem.Open("/dev/there-is-no-kvm"));
        Assert.StartsWith("/dev/there-is-no-kvm does not exist: load the kernel module kvm_intel or kvm_amd", problem.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', problem.Message);
    }

    [Fact]
    public void A_forbidden_device_names_the_group()
    {
        Assert.Contains("group that owns it (kvm)", KvmSystem.DescribeOpenFailure("/dev/kvm", Errno.EACCES), StringComparison.Ordinal);
        Assert.Contains("EMFILE", KvmSystem.DescribeOpenFailure("/dev/kvm", Errno.EMFILE), StringComparison.Ordinal);
    }

    [Fact]
    public void Something_else_is_not_KVM() => Assert.Equal("/dev/null is not KVM", Assert.Throws<KvmException>(() => KvmSystem.Open("/dev/null")).Message);

    [Fact]
    public void An_old_host_is_told_what_it_lacks()
    {
        KvmException problem = Assert.Throws<KvmException>(
            () => KvmSystem.RequireCapabilities(capability => capability is KvmCapability.ImmediateExit or KvmCapability.IrqFd ? 0 : 1));
        Assert.Equal("this host's KVM lacks KVM_CAP_IRQFD, KVM_CAP_IMMEDIATE_EXIT: Linux 4.12 or newer is needed", problem.Message);
    }

    [Fact]
    public void Lists_of_the_host_are_complete()
    {
        using KvmSystem system = BareGuest.OpenKvm();
        Assert.Contains(system.SupportedCpuid(), leaf => leaf.Function == 0x4000_0000 && leaf.Ebx == 0x4B4D_564B);
        Assert.Contains(0xC000_0081u, system.MsrIndices());
        Assert.True(system.MaxVcpus >= 16);
        Assert.InRange(system.VcpuMappingBytes, 4096, 1 << 20);
    }

    [Fact]
    public void Too_many_vcpus_are_refused_with_the_number_that_is_possible()
    {
        using KvmSystem system = BareGuest.OpenKvm();
        using KvmVm vm = KvmVm.Create(system);
        using var ram = Paravane.Hypervisor.Memory.MachineMemory.Create(1);
        KvmException problem = Assert.Throws<KvmException>(() => VcpuGroup.Create(vm, ram, 100_000, new AddressBus(), new AddressBus(), _ => { }));
        Assert.StartsWith("100000 vCPUs are too many: ", problem.Message, StringComparison.Ordinal);
    }
}
