using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Tests.Memory;

public sealed class GuestRamTests
{
    [Fact]
    public void Huge_pages_that_are_not_there_are_an_error_and_not_the_end_of_the_process()
    {
        const ulong More = 1UL << 40;
        IOException failure = Assert.Throws<IOException>(() => GuestRam.Create(More, hugePages: true));
        Assert.Contains("huge pages of 2 MiB are free", failure.Message, StringComparison.Ordinal);
    }
}
