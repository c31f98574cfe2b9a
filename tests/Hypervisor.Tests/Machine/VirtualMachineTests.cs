using Paravane.Hypervisor.Machine;

namespace Paravane.Hypervisor.Tests.Machine;

/// <summary>What a machine checks before anything runs.</summary>
public sealed class VirtualMachineTests
{
    [Theory, InlineData(39), InlineData(40), InlineData(52)]
    public void A_processor_that_can_name_the_addresses_of_PCI_devices_will_do(int bits) => VirtualMachine.RequireAddresses(bits);

    [Theory, InlineData(36), InlineData(38)]
    public void A_processor_with_narrow_addresses_is_refused_for_PCI_and_told_what_works(int bits)
    {
        string message = Assert.Throws<MachineException>(() => VirtualMachine.RequireAddresses(bits)).Message;
        Assert.Contains($"{bits} bits", message, StringComparison.Ordinal);
        Assert.Contains("39", message, StringComparison.Ordinal);
        Assert.Contains("--transport=mmio", message, StringComparison.Ordinal);
    }
}
