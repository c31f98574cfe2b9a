using Paravane.Hypervisor.Legacy;

namespace Paravane.Hypervisor.Tests.Legacy;

public sealed class PowerPortTests
{
    private readonly List<PowerRequest> _requests = [];

    [Fact]
    public void Soft_off_and_reset_are_requested_by_the_values_that_acpi_was_told()
    {
        var power = new PowerControl(_requests.Add);
        power.Out(0, 0x34);
        Assert.Equal([PowerRequest.Off], _requests);
        power.Out(4, 1);
        Assert.Equal([PowerRequest.Off, PowerRequest.Reset], _requests);
        foreach (byte other in new byte[] { 0x00, 0x14, 0x20, 0x24, 0x80 })
        {
            power.Out(0, other); // not enabled, or another sleep state
        }

        power.Out(1, 0x34);
        power.Out(4, 0);
        Assert.Equal(2, _requests.Count);
        Assert.Equal((0, 0, 0xFF, 0), (power.In(0), power.In(1), power.In(2), power.In(4)));
    }

    [Fact]
    public void The_keyboard_controller_restarts_the_machine_and_is_otherwise_empty()
    {
        var keyboard = new I8042(_requests.Add);
        Assert.Equal((0x00, 0x20, 0xFF, 0x00), (keyboard.In(0), keyboard.In(1), keyboard.In(2), keyboard.In(4)));
        foreach (byte command in new byte[] { 0x20, 0xAA, 0xAD, 0xFF, 0xF1, 0xD1 })
        {
            keyboard.Out(4, command);
        }

        keyboard.Out(0, 0x03); // the output port, its reset line high
        keyboard.Out(0, 0x00); // plain data
        Assert.Empty(_requests);
        keyboard.Out(4, 0xFE);
        Assert.Equal([PowerRequest.Reset], _requests);
        keyboard.Out(4, 0xD1);
        keyboard.Out(0, 0xFE);
        Assert.Equal([PowerRequest.Reset, PowerRequest.Reset], _requests);
    }

    [Fact]
    public void H5_any_access_to_the_power_ports_is_legal()
    {
        BusAccess.Fuzz(new PowerControl(_ => { }), PowerControl.PortCount);
        BusAccess.Fuzz(new I8042(_ => { }), I8042.PortCount);
    }
}
